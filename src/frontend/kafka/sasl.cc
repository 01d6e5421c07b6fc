// SaslHandshake and SaslAuthenticate, and the raw tokens that follow a handshake of version 0.

#include <algorithm>

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {

using namespace wire::kafka;

bool open_to_strangers(std::int16_t key) {
  return key == ApiVersionsRequest::kKey || key == SaslHandshakeRequest::kKey ||
         key == SaslAuthenticateRequest::kKey;
}

io::Task<SaslHandshakeResponse> sasl_handshake(Call call, SaslHandshakeRequest request) {
  SaslHandshakeResponse response;
  auto begun = call.authentication.begin(request.mechanism);
  if (!begun)
    response.error_code =
        number(begun.error().code == Code::kNotFound ? ErrorCode::kUnsupportedSaslMechanism
                                                     : ErrorCode::kIllegalSaslState);
  for (auto mechanism : call.security.mechanisms)
    response.mechanisms.emplace_back(mechanism_name(mechanism));
  co_return response;
}

io::Task<SaslAuthenticateResponse> sasl_authenticate(Call call, SaslAuthenticateRequest request) {
  auto token = call.authentication.step(request.token);
  if (token)
    co_return SaslAuthenticateResponse{
        .token = std::move(*token), .session_lifetime_ms = call.authentication.lifetime().count()};
  if (token.error().code == Code::kMismatch) {
    co_await call.local.loop().sleep(call.security.failure_delay);
    co_return SaslAuthenticateResponse{.error_code = number(ErrorCode::kSaslAuthenticationFailed),
                                       .error_message = token.error().message};
  }
  // A stranger that does not know what to say first is not talked to any longer.
  if (!call.authentication.done()) call.authentication.fail_for("a token without a handshake");
  co_return SaslAuthenticateResponse{.error_code = number(ErrorCode::kIllegalSaslState),
                                     .error_message = "no handshake came before it"};
}

}  // namespace walrus::frontend::kafka
