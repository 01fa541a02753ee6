import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import io.jsonwebtoken.Jwts;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Date;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;

public class JjwtAssertion {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    String kid = given.get("KEY_ID");
    String audience = given.get("AUDIENCE");
    ECKey key = JWK.parse(Files.readString(Path.of(given.get("PRIVATE_JWK_FILE")))).toECKey();
    // --- snippet
    String assertion = Jwts.builder()
        .header().keyId(kid).and()
        .issuer(clientId)
        .subject(clientId)
        .audience().single(issuer) // as text, and not as a list
        .id(UUID.randomUUID().toString())
        .expiration(Date.from(Instant.now().plusSeconds(60)))
        .signWith(key.toECPrivateKey())
        .compact();
    var form = Map.of(
        "grant_type", "client_credentials",
        "resource", audience,
        "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion", assertion);
    String body = form.entrySet().stream()
        .map(each -> each.getKey() + "=" + URLEncoder.encode(each.getValue(), StandardCharsets.UTF_8))
        .collect(Collectors.joining("&"));
    var request = HttpRequest.newBuilder(URI.create(issuer + "/token"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .POST(HttpRequest.BodyPublishers.ofString(body))
        .build();
    String answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
    // --- end
    System.out.println(answer);
  }
}
