import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.context.annotation.Bean;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;

@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
@RestController
public class SpringServer {
  private final String issuer = System.getenv("ISSUER");
  private final String audience = System.getenv("AUDIENCE");

  // --- snippet
  @Bean
  JwtDecoder jwtDecoder() {
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
    // It adds the check of tokens that are bound to a client certificate.
    decoder.setJwtValidator(JwtValidators.createDefaultWithValidators(List.of(
        new JwtTypeValidator("at+jwt"),
        new JwtTimestampValidator(Duration.ofSeconds(10)),
        new JwtIssuerValidator(issuer),
        new JwtAudienceValidator(audience))));
    return decoder;
  }
  // --- end

  public static void main(String[] arguments) throws Exception {
    var context = new SpringApplicationBuilder(SpringServer.class)
        .properties("logging.level.root=OFF", "server.port=0", "server.address=127.0.0.1")
        .run();
    int port = context.getEnvironment().getProperty("local.server.port", Integer.class);
    var request = HttpRequest.newBuilder(new URI("http://127.0.0.1:" + port + "/"))
        .header("authorization", "Bearer " + System.getenv("TOKEN"))
        .build();
    var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    boolean ok = response.statusCode() == 200;
    System.out.println();
    System.out.println(ok ? response.body() : response.statusCode() + " " + response.headers().map().get("www-authenticate"));
    System.exit(ok ? 0 : 1);
  }

  @GetMapping("/")
  String caller(@AuthenticationPrincipal Jwt token) {
    return token.getSubject();
  }

}
