import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.http.HTTPResponse;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.openid.connect.sdk.Nonce;
import java.net.URI;
import java.util.Map;

public class NimbusDPoP {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    String clientSecret = given.get("CLIENT_SECRET");
    // --- snippet
    var key = new ECKeyGenerator(Curve.P_256).generate(); // one for as long as the process runs
    var proofs = new DefaultDPoPProofFactory(key, JWSAlgorithm.ES256);
    var endpoint = new URI(issuer + "/token");
    var authentication = new ClientSecretBasic(new ClientID(clientId), new Secret(clientSecret));
    Nonce nonce = null;
    TokenResponse response;
    do {
      var request =
          new TokenRequest(endpoint, authentication, new ClientCredentialsGrant(), new Scope("orders:read"))
              .toHTTPRequest();
      request.setDPoP(proofs.createDPoPJWT("POST", endpoint, nonce));
      HTTPResponse answer = request.send();
      response = TokenResponse.parse(answer);
      nonce = nonce == null ? answer.getDPoPNonce() : null;
    } while (nonce != null && !response.indicatesSuccess());
    if (!response.indicatesSuccess()) {
      throw new Exception(response.toErrorResponse().getErrorObject().getDescription());
    }
    String token = response.toSuccessResponse().getTokens().getDPoPAccessToken().getValue();
    // --- end
    System.out.println(token);
  }
}
