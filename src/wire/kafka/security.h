#pragma once
// Messages of authentication and users: SaslHandshake, SaslAuthenticate,
// DescribeUserScramCredentials, AlterUserScramCredentials.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct SaslHandshakeRequest {
  static constexpr std::int16_t kKey = 17;
  Bytes mechanism{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::mechanism>()};
  }
  bool operator==(const SaslHandshakeRequest&) const = default;
};

struct SaslHandshakeResponse {
  static constexpr std::int16_t kKey = 17;
  std::int16_t error_code = 0;
  std::vector<std::string> mechanisms{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::error_code>(), f<&T::mechanisms>()};
  }
  bool operator==(const SaslHandshakeResponse&) const = default;
};

struct SaslAuthenticateRequest {
  static constexpr std::int16_t kKey = 36;
  Bytes token{};
  template <class T>
  static constexpr auto fields() {
    return std::array{raw<&T::token>()};
  }
  bool operator==(const SaslAuthenticateRequest&) const = default;
};

struct SaslAuthenticateResponse {
  static constexpr std::int16_t kKey = 36;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::string token{};
  std::int64_t session_lifetime_ms = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::error_code>(), f<&T::error_message>({.nullable = kAlways}),
                      raw<&T::token>(), f<&T::session_lifetime_ms>({.in = since(1)})};
  }
  bool operator==(const SaslAuthenticateResponse&) const = default;
};

struct DescribeUserScramCredentialsRequest {
  static constexpr std::int16_t kKey = 50;
  struct User {
    Bytes name{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>()};
    }
    bool operator==(const User&) const = default;
  };
  std::optional<std::vector<User>> users{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::users>({.nullable = kAlways})};
  }
  bool operator==(const DescribeUserScramCredentialsRequest&) const = default;
};

struct DescribeUserScramCredentialsResponse {
  static constexpr std::int16_t kKey = 50;
  struct Credential {
    std::int8_t mechanism = 0;
    std::int32_t iterations = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::mechanism>(), f<&T::iterations>()};
    }
    bool operator==(const Credential&) const = default;
  };
  struct Result {
    std::string user{};
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::vector<Credential> credentials{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::user>(), f<&T::error_code>(),
                        f<&T::error_message>({.nullable = kAlways}), f<&T::credentials>()};
    }
    bool operator==(const Result&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::vector<Result> results{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>(),
                      f<&T::error_message>({.nullable = kAlways}), f<&T::results>()};
  }
  bool operator==(const DescribeUserScramCredentialsResponse&) const = default;
};

struct AlterUserScramCredentialsRequest {
  static constexpr std::int16_t kKey = 51;
  struct Deletion {
    Bytes name{};
    std::int8_t mechanism = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::mechanism>()};
    }
    bool operator==(const Deletion&) const = default;
  };
  struct Upsertion {
    Bytes name{};
    std::int8_t mechanism = 0;
    std::int32_t iterations = 0;
    Bytes salt{};
    Bytes salted_password{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::mechanism>(), f<&T::iterations>(), raw<&T::salt>(),
                        raw<&T::salted_password>()};
    }
    bool operator==(const Upsertion&) const = default;
  };
  std::vector<Deletion> deletions{};
  std::vector<Upsertion> upsertions{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::deletions>(), f<&T::upsertions>()};
  }
  bool operator==(const AlterUserScramCredentialsRequest&) const = default;
};

struct AlterUserScramCredentialsResponse {
  static constexpr std::int16_t kKey = 51;
  struct Result {
    std::string user{};
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::user>(), f<&T::error_code>(),
                        f<&T::error_message>({.nullable = kAlways})};
    }
    bool operator==(const Result&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Result> results{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::results>()};
  }
  bool operator==(const AlterUserScramCredentialsResponse&) const = default;
};

}  // namespace walrus::wire::kafka
