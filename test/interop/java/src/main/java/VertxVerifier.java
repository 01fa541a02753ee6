import io.vertx.core.Vertx;
import io.vertx.core.http.HttpClientOptions;
import io.vertx.core.net.PemTrustOptions;
import io.vertx.ext.auth.JWTOptions;
import io.vertx.ext.auth.authentication.TokenCredentials;
import io.vertx.ext.auth.oauth2.OAuth2Options;
import io.vertx.ext.auth.oauth2.providers.OpenIDConnectAuth;
import java.util.Map;
import java.util.concurrent.TimeUnit;

public class VertxVerifier {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String audience = given.get("AUDIENCE");
    String token = given.get("TOKEN");
    var trust = new HttpClientOptions().setTrustOptions(new PemTrustOptions().addCertPath(given.get("SSL_CERT_FILE")));
    Vertx vertx = Vertx.vertx();
    try {
      // --- snippet
      var options = new OAuth2Options()
          .setSite(issuer)
          .setClientId(audience)
          .setHttpClientOptions(trust)
          .setJWTOptions(new JWTOptions().setIssuer(issuer).addAudience(audience));
      var user = OpenIDConnectAuth.discover(vertx, options)
          .compose(provider -> provider.authenticate(new TokenCredentials(token)));
      // --- end
      System.out.println(user.await(30, TimeUnit.SECONDS).subject());
    } finally {
      vertx.close();
    }
  }
}
