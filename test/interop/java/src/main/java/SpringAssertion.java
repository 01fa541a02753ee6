import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.ClientCredentialsOAuth2AuthorizedClientProvider;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;

public class SpringAssertion {
  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String issuer = given.get("ISSUER");
    String clientId = given.get("CLIENT_ID");
    ECKey key = new ECKey.Builder(JWK.parse(Files.readString(Path.of(given.get("PRIVATE_JWK_FILE")))).toECKey())
        .keyID(given.get("KEY_ID")).build();
    // --- snippet
    var registration = ClientRegistrations.fromIssuerLocation(issuer)
        .registrationId("mintmark")
        .clientId(clientId)
        .clientAuthenticationMethod(ClientAuthenticationMethod.PRIVATE_KEY_JWT)
        .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
        .build();
    var signer = new NimbusJwtClientAuthenticationParametersConverter<OAuth2ClientCredentialsGrantRequest>(
        (each) -> key);
    // Without this it names the token endpoint.
    signer.setJwtClientAssertionCustomizer((context) -> context.getClaims().audience(List.of(issuer)));
    var tokens = new RestClientClientCredentialsTokenResponseClient();
    tokens.addParametersConverter(signer);
    var provider = new ClientCredentialsOAuth2AuthorizedClientProvider();
    provider.setAccessTokenResponseClient(tokens);
    var registrations = new InMemoryClientRegistrationRepository(registration);
    var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(
        registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
    manager.setAuthorizedClientProvider(provider);
    // --- end
    var request = OAuth2AuthorizeRequest.withClientRegistrationId("mintmark").principal("orders").build();
    System.out.println(manager.authorize(request).getAccessToken().getTokenValue());
  }
}
