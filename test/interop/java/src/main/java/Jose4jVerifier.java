import java.util.Map;
import org.jose4j.jwa.AlgorithmConstraints.ConstraintType;
import org.jose4j.jwk.HttpsJwks;
import org.jose4j.jws.AlgorithmIdentifiers;
import org.jose4j.jwt.JwtClaims;
import org.jose4j.jwt.consumer.JwtConsumer;
import org.jose4j.jwt.consumer.JwtConsumerBuilder;
import org.jose4j.keys.resolvers.HttpsJwksVerificationKeyResolver;

public class Jose4jVerifier {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String audience = given.get("AUDIENCE");
    String token = given.get("TOKEN");
    // --- snippet
    HttpsJwks keys = new HttpsJwks(issuer + "/.well-known/jwks.json");
    JwtConsumer consumer = new JwtConsumerBuilder()
        .setRequireExpirationTime()
        .setAllowedClockSkewInSeconds(30)
        .setRequireSubject()
        .setExpectedIssuer(issuer)
        .setExpectedAudience(audience)
        .setExpectedType(true, "at+jwt")
        .setVerificationKeyResolver(new HttpsJwksVerificationKeyResolver(keys))
        .setJwsAlgorithmConstraints(ConstraintType.PERMIT, AlgorithmIdentifiers.ECDSA_USING_P256_CURVE_AND_SHA256)
        .build();
    JwtClaims claims = consumer.processToClaims(token);
    // --- end
    System.out.println(claims.getSubject());
  }
}
