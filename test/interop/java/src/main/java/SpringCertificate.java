import java.net.http.HttpClient;
import java.util.Map;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.pem.PemSslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreDetails;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.ClientCredentialsOAuth2AuthorizedClientProvider;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.http.OAuth2ErrorResponseErrorHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.http.converter.OAuth2AccessTokenResponseHttpMessageConverter;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.http.converter.FormHttpMessageConverter;
import org.springframework.web.client.RestClient;

public class SpringCertificate {
  public static void main(String[] arguments) {
    Map<String, String> given = System.getenv();
    String mtlsUrl = given.get("MTLS_URL");
    String clientId = given.get("CLIENT_ID");
    String certificateFile = given.get("CERTIFICATE_FILE");
    String keyFile = given.get("CERTIFICATE_KEY_FILE");
    // --- snippet
    var registration = ClientRegistration.withRegistrationId("mintmark")
        .tokenUri(mtlsUrl + "/token")
        .clientId(clientId)
        .clientAuthenticationMethod(ClientAuthenticationMethod.NONE) // it sends the id alone
        .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
        .build();
    var pair = PemSslStoreDetails.forCertificate("file:" + certificateFile).withPrivateKey("file:" + keyFile);
    var bundle = SslBundle.of(new PemSslStoreBundle(pair, null));
    var http = HttpClient.newBuilder().sslContext(bundle.createSslContext()).build();
    var tokens = new RestClientClientCredentialsTokenResponseClient();
    tokens.setRestClient(RestClient.builder()
        .requestFactory(new JdkClientHttpRequestFactory(http))
        .configureMessageConverters((converters) -> converters
            .addCustomConverter(new FormHttpMessageConverter())
            .addCustomConverter(new OAuth2AccessTokenResponseHttpMessageConverter()))
        .defaultStatusHandler(new OAuth2ErrorResponseErrorHandler())
        .build());
    var provider = new ClientCredentialsOAuth2AuthorizedClientProvider();
    provider.setAccessTokenResponseClient(tokens);
    // --- end
    var registrations = new InMemoryClientRegistrationRepository(registration);
    var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(
        registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
    manager.setAuthorizedClientProvider(provider);
    var request = OAuth2AuthorizeRequest.withClientRegistrationId("mintmark").principal("orders").build();
    System.out.println(manager.authorize(request).getAccessToken().getTokenValue());
  }
}
