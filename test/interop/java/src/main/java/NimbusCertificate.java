import com.nimbusds.oauth2.sdk.AccessTokenResponse;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.PKITLSClientAuthentication;
import com.nimbusds.oauth2.sdk.id.ClientID;
import java.io.FileInputStream;
import java.net.URI;
import java.security.KeyStore;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

public class NimbusCertificate {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String mtlsUrl = given.get("MTLS_URL");
    String clientId = given.get("CLIENT_ID");
    String storeFile = given.get("CERTIFICATE_STORE_FILE");
    char[] password = "changeit".toCharArray();
    // --- snippet
    var store = KeyStore.getInstance("PKCS12");
    store.load(new FileInputStream(storeFile), password);
    var managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(store, password);
    var tls = SSLContext.getInstance("TLS");
    tls.init(managers.getKeyManagers(), null, null);
    var authentication = new PKITLSClientAuthentication(new ClientID(clientId), tls.getSocketFactory());
    var request = new TokenRequest(
        new URI(mtlsUrl + "/token"), authentication, new ClientCredentialsGrant(), new Scope("orders:read"));
    TokenResponse response = TokenResponse.parse(request.toHTTPRequest().send());
    if (!response.indicatesSuccess()) {
      throw new Exception(response.toErrorResponse().getErrorObject().getDescription());
    }
    AccessTokenResponse tokens = response.toSuccessResponse();
    String token = tokens.getTokens().getAccessToken().getValue();
    // --- end
    System.out.println(token);
  }
}
