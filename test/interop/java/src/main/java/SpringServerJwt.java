import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
@RestController
public class SpringServerJwt {
  public static void main(String[] arguments) throws Exception {
    var context = new SpringApplicationBuilder(SpringServerJwt.class)
        .properties(
            "logging.level.root=OFF",
            "server.port=0",
            "server.address=127.0.0.1",
            // --- snippet
            "spring.security.oauth2.resourceserver.jwt.issuer-uri=" + System.getenv("ISSUER"),
            "spring.security.oauth2.resourceserver.jwt.audiences=" + System.getenv("AUDIENCE")
            // --- end
        )
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
