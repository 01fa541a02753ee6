import com.nimbusds.oauth2.sdk.AccessTokenResponse;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.id.ClientID;
import java.net.URI;
import java.util.Map;

public class NimbusClient {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    String clientSecret = given.get("CLIENT_SECRET");
    // --- snippet
    var authentication = new ClientSecretBasic(new ClientID(clientId), new Secret(clientSecret));
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
