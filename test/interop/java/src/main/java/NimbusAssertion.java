import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.oauth2.sdk.AccessTokenResponse;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.JWTAuthenticationClaimsSet;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.id.Audience;
import com.nimbusds.oauth2.sdk.id.ClientID;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Date;
import java.util.Map;

public class NimbusAssertion {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    String kid = given.get("KEY_ID");
    ECKey key = JWK.parse(Files.readString(Path.of(given.get("PRIVATE_JWK_FILE")))).toECKey();
    // --- snippet
    var claims = new JWTAuthenticationClaimsSet(new ClientID(clientId), new Audience(issuer));
    var authentication = new PrivateKeyJWT(claims, JWSAlgorithm.ES256, key.toECPrivateKey(), kid, null);
    var request = new TokenRequest(
        new URI(issuer + "/token"), authentication, new ClientCredentialsGrant(), new Scope("orders:read"));
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
