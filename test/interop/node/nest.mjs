import 'reflect-metadata'
import { Controller, Get, Module, Req, UseGuards } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport'
import jwksRsa from 'jwks-rsa'
import { ExtractJwt, Strategy } from 'passport-jwt'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
class JwtStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: jwksRsa.passportJwtSecret({
        jwksUri: `${issuer}/.well-known/jwks.json`,
        cache: true,
      }),
      algorithms: ['ES256'],
      issuer,
      audience,
    })
  }
  validate(payload) {
    return payload
  }
}
// In a controller: @UseGuards(AuthGuard('jwt'))
// --- end
class OrdersController {
  orders(request) {
    return request.user
  }
}
// The decorators of TypeScript, by hand.
const method = Object.getOwnPropertyDescriptor(OrdersController.prototype, 'orders')
Get()(OrdersController.prototype, 'orders', method)
Req()(OrdersController.prototype, 'orders', 0)
UseGuards(AuthGuard('jwt'))(OrdersController.prototype, 'orders', method)
Controller()(OrdersController)
class AppModule {}
Module({ imports: [PassportModule], controllers: [OrdersController], providers: [JwtStrategy] })(AppModule)

const app = await NestFactory.create(AppModule, { logger: false })
await app.listen(0, '127.0.0.1')
const response = await fetch(await app.getUrl(), { headers: { authorization: `Bearer ${token}` } })
console.log(response.ok ? (await response.json()).sub : `${response.status} ${await response.text()}`)
process.exit(response.ok ? 0 : 1)
