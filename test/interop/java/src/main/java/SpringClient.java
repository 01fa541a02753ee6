import java.util.Map;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;

public class SpringClient {
  public static void main(String[] arguments) {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    String clientSecret = given.get("CLIENT_SECRET");
    // --- snippet
    var registration = ClientRegistrations.fromIssuerLocation(issuer)
        .registrationId("mintmark")
        .clientId(clientId)
        .clientSecret(clientSecret)
        .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
        .build();
    var registrations = new InMemoryClientRegistrationRepository(registration);
    var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(
        registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
    manager.setAuthorizedClientProvider(
        OAuth2AuthorizedClientProviderBuilder.builder().clientCredentials().build());
    var request = OAuth2AuthorizeRequest.withClientRegistrationId("mintmark").principal("orders").build();
    String token = manager.authorize(request).getAccessToken().getTokenValue();
    // --- end
    System.out.println(token);
  }
}
