import io.jsonwebtoken.Claims;
import io.jsonwebtoken.Jws;
import io.jsonwebtoken.JwsHeader;
import io.jsonwebtoken.Jwts;
import io.jsonwebtoken.UnsupportedJwtException;
import io.jsonwebtoken.security.Jwk;
import io.jsonwebtoken.security.Jwks;
import java.net.URI;
import java.util.stream.Collectors;

public class JjwtVerifier {
  public static void main(String[] arguments) throws Exception {
    String issuer = System.getenv("ISSUER");
    String audience = System.getenv("AUDIENCE");
    String token = System.getenv("TOKEN");
    // --- snippet
    // Fetch it again when a kid is unknown, and keep it for five minutes.
    var set = Jwks.setParser().build().parse(new URI(issuer + "/.well-known/jwks.json").toURL().openStream());
    var keys = set.getKeys().stream().collect(Collectors.toMap(Jwk::getId, Jwk::toKey));
    Jws<Claims> jws = Jwts.parser()
        .keyLocator(shown -> keys.get((String) shown.get("kid")))
        .requireIssuer(issuer)
        .requireAudience(audience)
        .clockSkewSeconds(10)
        .build()
        .parseSignedClaims(token);
    JwsHeader header = jws.getHeader();
    if (!"at+jwt".equals(header.getType()) || !"ES256".equals(header.getAlgorithm()))
      throw new UnsupportedJwtException("not an access token");
    // --- end
    System.out.println(jws.getPayload().getSubject());
  }
}
