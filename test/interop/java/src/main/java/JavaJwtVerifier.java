import com.auth0.jwk.JwkProvider;
import com.auth0.jwk.JwkProviderBuilder;
import com.auth0.jwt.JWT;
import com.auth0.jwt.algorithms.Algorithm;
import com.auth0.jwt.exceptions.JWTVerificationException;
import com.auth0.jwt.interfaces.DecodedJWT;
import java.net.URI;
import java.security.interfaces.ECPublicKey;

public class JavaJwtVerifier {
  public static void main(String[] arguments) throws Exception {
    String issuer = System.getenv("ISSUER");
    String audience = System.getenv("AUDIENCE");
    String token = System.getenv("TOKEN");
    // --- snippet
    JwkProvider keys = new JwkProviderBuilder(new URI(issuer + "/.well-known/jwks.json").toURL()).build();
    var key = (ECPublicKey) keys.get(JWT.decode(token).getKeyId()).getPublicKey();
    DecodedJWT jwt = JWT.require(Algorithm.ECDSA256(key, null))
        .withIssuer(issuer)
        .withAudience(audience)
        .acceptLeeway(10)
        .build()
        .verify(token);
    if (!"at+jwt".equals(jwt.getType())) throw new JWTVerificationException("not an access token");
    // --- end
    System.out.println(jwt.getSubject());
  }
}
