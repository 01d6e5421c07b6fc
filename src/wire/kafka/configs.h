#pragma once
// Messages about settings: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct DescribeConfigsRequest {
  static constexpr std::int16_t kKey = 32;
  struct Resource {
    std::int8_t type = 0;
    Bytes name{};
    std::optional<std::vector<Bytes>> keys{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::type>(), f<&T::name>(), f<&T::keys>({.nullable = kAlways})};
    }
    bool operator==(const Resource&) const = default;
  };
  std::vector<Resource> resources{};
  bool include_synonyms = false;
  bool include_documentation = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::resources>(), f<&T::include_synonyms>({.in = since(1)}),
                      f<&T::include_documentation>({.in = since(3)})};
  }
  bool operator==(const DescribeConfigsRequest&) const = default;
};

struct DescribeConfigsResponse {
  static constexpr std::int16_t kKey = 32;
  struct Synonym {
    std::string name{};
    std::optional<std::string> value{};
    std::int8_t source = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::value>({.nullable = kAlways}), f<&T::source>()};
    }
    bool operator==(const Synonym&) const = default;
  };
  struct Config {
    std::string name{};
    std::optional<std::string> value{};
    bool read_only = false;
    std::int8_t source = -1;
    bool is_sensitive = false;
    std::vector<Synonym> synonyms{};
    std::int8_t type = 0;
    std::optional<std::string> documentation{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(),
                        f<&T::value>({.nullable = kAlways}),
                        f<&T::read_only>(),
                        f<&T::source>({.in = since(1)}),
                        f<&T::is_sensitive>(),
                        f<&T::synonyms>({.in = since(1)}),
                        f<&T::type>({.in = since(3)}),
                        f<&T::documentation>({.in = since(3), .nullable = since(3)})};
    }
    bool operator==(const Config&) const = default;
  };
  struct Resource {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::int8_t type = 0;
    std::string name{};
    std::vector<Config> configs{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::error_message>({.nullable = kAlways}),
                        f<&T::type>(), f<&T::name>(), f<&T::configs>()};
    }
    bool operator==(const Resource&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Resource> resources{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::resources>()};
  }
  bool operator==(const DescribeConfigsResponse&) const = default;
};

struct AlterConfigsRequest {
  static constexpr std::int16_t kKey = 33;
  struct Config {
    Bytes name{};
    std::optional<Bytes> value{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::value>({.nullable = kAlways})};
    }
    bool operator==(const Config&) const = default;
  };
  struct Resource {
    std::int8_t type = 0;
    Bytes name{};
    std::vector<Config> configs{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::type>(), f<&T::name>(), f<&T::configs>()};
    }
    bool operator==(const Resource&) const = default;
  };
  std::vector<Resource> resources{};
  bool validate_only = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::resources>(), f<&T::validate_only>()};
  }
  bool operator==(const AlterConfigsRequest&) const = default;
};

struct AlterConfigsResponse {
  static constexpr std::int16_t kKey = 33;
  struct Resource {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::int8_t type = 0;
    std::string name{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::error_message>({.nullable = kAlways}),
                        f<&T::type>(), f<&T::name>()};
    }
    bool operator==(const Resource&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Resource> resources{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::resources>()};
  }
  bool operator==(const AlterConfigsResponse&) const = default;
};

struct IncrementalAlterConfigsRequest {
  static constexpr std::int16_t kKey = 44;
  struct Config {
    Bytes name{};
    std::int8_t operation = 0;
    std::optional<Bytes> value{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::operation>(), f<&T::value>({.nullable = kAlways})};
    }
    bool operator==(const Config&) const = default;
  };
  struct Resource {
    std::int8_t type = 0;
    Bytes name{};
    std::vector<Config> configs{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::type>(), f<&T::name>(), f<&T::configs>()};
    }
    bool operator==(const Resource&) const = default;
  };
  std::vector<Resource> resources{};
  bool validate_only = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::resources>(), f<&T::validate_only>()};
  }
  bool operator==(const IncrementalAlterConfigsRequest&) const = default;
};

struct IncrementalAlterConfigsResponse {
  static constexpr std::int16_t kKey = 44;
  struct Resource {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::int8_t type = 0;
    std::string name{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::error_message>({.nullable = kAlways}),
                        f<&T::type>(), f<&T::name>()};
    }
    bool operator==(const Resource&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Resource> resources{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::resources>()};
  }
  bool operator==(const IncrementalAlterConfigsResponse&) const = default;
};

}  // namespace walrus::wire::kafka
