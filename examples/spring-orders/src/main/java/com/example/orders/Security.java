package com.example.orders;

import java.time.Duration;
import java.util.List;
import org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;

@Configuration(proxyBeanMethods = false)
class Security {
  /** Nothing is open. Each path names the scope that it needs. */
  @Bean
  SecurityFilterChain filters(HttpSecurity http, OAuth2ResourceServerProperties properties) throws Exception {
    return http
        .authorizeHttpRequests(requests -> requests
            .requestMatchers(HttpMethod.GET, "/orders").hasAuthority("SCOPE_orders:read")
            .anyRequest().denyAll())
        .oauth2ResourceServer(server -> server
            .jwt(Customizer.withDefaults())
            // Refusals name this document (RFC 9728), so that a caller finds the way to a token.
            .protectedResourceMetadata(metadata -> metadata.protectedResourceMetadataCustomizer(document -> document
                .resource(properties.getJwt().getAudiences().get(0))
                .authorizationServer(properties.getJwt().getIssuerUri())
                .scope("orders:read"))))
        .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
        .csrf(csrf -> csrf.disable())
        .build();
  }

  /** No property says that tokens have the type at+jwt (RFC 9068), so the decoder is made here. */
  @Bean
  JwtDecoder jwtDecoder(OAuth2ResourceServerProperties properties) {
    String issuer = properties.getJwt().getIssuerUri();
    String audience = properties.getJwt().getAudiences().get(0);
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer)
        .jwsAlgorithm(SignatureAlgorithm.ES256)
        .validateType(false)
        .build();
    // It adds the check of tokens that are bound to a client certificate (RFC 8705).
    decoder.setJwtValidator(JwtValidators.createDefaultWithValidators(List.of(
        new JwtTypeValidator("at+jwt"),
        new JwtTimestampValidator(Duration.ofSeconds(10)),
        new JwtIssuerValidator(issuer),
        new JwtAudienceValidator(audience))));
    return decoder;
  }
}
