// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_message.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "switch/base/little_endian.h"
#include "switch/base/text.h"
#include "switch/base/unix_socket.h"
#include "switch/network/config_words.h"

namespace lanyard {
namespace {

using Kind = SpawnerRequest::Kind;

constexpr std::uint32_t kMagic = 0x3153594c;  // "LYS1"
constexpr std::size_t kNetworkSize = kNetworkNameMax + 1;
constexpr std::size_t kInterfaceSize = kInterfaceNameMax + 1;
constexpr std::size_t kOwnerSize = 33;  // useradd(8): a name has at most 32 characters
constexpr std::size_t kPathSize = 1024;
constexpr std::size_t kAddressSize = 16;
constexpr std::uint32_t kMtuMin = 68;  // RFC 791
constexpr std::uint32_t kMtuMax = 65535;
constexpr std::uint32_t kPidMax = 1 << 22;
constexpr std::uint32_t kSignalMax = 64;
constexpr std::uint32_t kModeMax = 07777;
constexpr std::size_t kMessageHeadSize = 28;
constexpr std::size_t kMessageIdAt = 12;

class Writer {
 public:
  void number(std::uint64_t value, std::size_t size) { append_little_endian(bytes_, value, size); }
  // Filled up with zeros; what does not fit is cut, and the reader refuses it.
  void text(std::string_view value, std::size_t size) {
    bytes_ += value.substr(0, size);
    bytes_.append(size - std::min(size, value.size()), '\0');
  }
  void prefix(const std::optional<Ipv4Prefix>& value) {
    begin_prefix(value.has_value(), value ? value->length : 0);
    if (!value) return text({}, kAddressSize);
    const auto octets = value->address.bytes();
    text({reinterpret_cast<const char*>(octets.data()), octets.size()}, kAddressSize);
  }
  void prefix(const std::optional<Ipv6Prefix>& value) {
    begin_prefix(value.has_value(), value ? value->length : 0);
    if (!value) return text({}, kAddressSize);
    const auto& octets = value->address.bytes();
    text({reinterpret_cast<const char*>(octets.data()), octets.size()}, kAddressSize);
  }
  std::string take() && {
    bytes_.resize(kSpawnerRequestSize);
    return std::move(bytes_);
  }

 private:
  void begin_prefix(bool there, unsigned length) {
    number(there ? 1 : 0, 1);
    number(length, 1);
  }

  std::string bytes_;
};

// Reads what the size of a request holds anyway; remembers whether all of it made sense.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool good() const { return good_; }
  void demand(bool holds) { good_ = good_ && holds; }
  std::uint64_t number(std::size_t size) {
    const std::uint64_t value = little_endian_at(bytes_, at_, size);
    at_ += size;
    return value;
  }
  bool flag() {
    const std::uint64_t value = number(1);
    demand(value <= 1);
    return value == 1;
  }
  // Ends with a NUL, and then only zeros follow.
  std::string text(std::size_t size) {
    const std::string_view field = bytes_.substr(at_, size);
    at_ += size;
    const std::size_t end = std::min(field.find('\0'), size - 1);
    demand(field.find_first_not_of('\0', end) == std::string_view::npos);
    return std::string(field.substr(0, end));
  }
  template <typename Prefix, std::size_t Size>
  std::optional<Prefix> prefix() {
    const bool there = flag();
    const auto length = static_cast<unsigned>(number(1));
    std::array<std::uint8_t, Size> octets{};
    for (std::uint8_t& octet : octets) octet = static_cast<std::uint8_t>(number(1));
    for (std::size_t i = Size; i < kAddressSize; ++i) demand(number(1) == 0);
    demand(length <= Size * 8);
    if (there) return Prefix{address_of(octets), length};
    demand(length == 0 && octets == std::array<std::uint8_t, Size>{});
    return std::nullopt;
  }
  std::optional<Ipv4Prefix> prefix4() { return prefix<Ipv4Prefix, 4>(); }
  std::optional<Ipv6Prefix> prefix6() { return prefix<Ipv6Prefix, 16>(); }
  void end() { demand(bytes_.find_first_not_of('\0', at_) == std::string_view::npos); }

 private:
  static Ipv4Address address_of(const std::array<std::uint8_t, 4>& octets) {
    return Ipv4Address::from_bytes(octets);
  }
  static Ipv6Address address_of(const std::array<std::uint8_t, 16>& octets) {
    return Ipv6Address(octets);
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

bool can_be_a_host(const std::optional<Ipv4Prefix>& prefix) {
  if (!prefix) return true;
  const Ipv4Address address = prefix->address;
  return prefix->length >= 8 && !address.is_unspecified() && !address.is_loopback() &&
         !address.is_multicast() && !address.is_broadcast();
}

bool can_be_a_host(const std::optional<Ipv6Prefix>& prefix) {
  if (!prefix) return true;
  const Ipv6Address& address = prefix->address;
  return prefix->length >= 8 && !address.is_unspecified() && !address.is_loopback() &&
         !address.is_multicast() && !address.mapped_v4();
}

// A name, or a number.
bool is_user(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '@' || c == '$' || c == '\\' || c == '+';
  });
}

// Absolute, and leading where it says.
bool is_whole_path(std::string_view path) {
  if (!path.starts_with('/') || path.ends_with('/')) return false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view step = path.substr(0, path.find('/'));
    if (step == "." || step == "..") return false;
    path.remove_prefix(step.size());
  }
  return true;
}

bool is_whole_host(const NetworkConfig& network) {
  if (!network.host ||
      (network.kind != NetworkKind::host_only && network.kind != NetworkKind::routed)) {
    return false;
  }
  const HostInterfaceConfig& host = *network.host;
  return is_network_name(network.name) && is_interface_name(host.name) && is_user(host.owner) &&
         (network.uplink.empty() || is_interface_name(network.uplink)) && host.mtu >= kMtuMin &&
         host.mtu <= kMtuMax && can_be_a_host(host.address) && can_be_a_host(host.address6) &&
         can_be_a_host(network.subnet) && can_be_a_host(network.subnet6);
}

// The kernel puts a number where it ends in "%d".
bool is_tap_name(std::string_view name) {
  constexpr std::string_view kNumber = "%d";
  if (name.size() > kInterfaceNameMax) return false;
  if (name.ends_with(kNumber)) name.remove_suffix(kNumber.size());
  return is_interface_name(name);
}

bool is_process(pid_t pid) {
  return pid > 1;
}

bool makes_sense(const SpawnerRequest& request) {
  switch (request.kind) {
    case Kind::check_host:
    case Kind::claim_host:
    case Kind::set_up_host:
    case Kind::resume_host: return is_whole_host(request.network);
    case Kind::start_gateway: return is_network_name(request.network.name);
    case Kind::close_host: return is_interface_name(request.interface);
    case Kind::attach_tap: return is_tap_name(request.interface);
    case Kind::signal_gateway:
    case Kind::end_gateway:
      return is_process(request.pid) && (request.signal == SIGTERM || request.signal == SIGKILL);
    case Kind::adopt_gateway:
    case Kind::gateway_status: return is_process(request.pid);
    case Kind::listen:
    case Kind::adopt_name:
    case Kind::remove_name:
      return is_whole_path(request.path) && request.path.size() <= kSocketPathMax;
    case Kind::listen_in_directory:
      return is_whole_path(request.path) && request.path.size() <= kSocketPathMax &&
             request.access.mode <= kModeMax && request.access.directory_mode <= kModeMax;
    case Kind::allow_directories: return request.path == "/" || is_whole_path(request.path);
    case Kind::may_claim_directory:
    case Kind::claim_directory:
    case Kind::adopt_directory:
    case Kind::clean_directory:
    case Kind::read_configuration: return is_whole_path(request.path);
    case Kind::clean_up:
    case Kind::settle:
    case Kind::finish: return true;
  }
  return false;
}

}  // namespace

std::string encode_spawner_request(const SpawnerRequest& request) {
  const NetworkConfig& network = request.network;
  const HostInterfaceConfig host = network.host.value_or(HostInterfaceConfig{});
  Writer to;
  to.number(kMagic, 4);
  to.number(static_cast<std::uint8_t>(request.kind), 1);
  to.number(static_cast<std::uint8_t>(network.kind), 1);
  to.number(network.host ? 1 : 0, 1);
  to.number(request.offload ? 1 : 0, 1);
  to.number(request.id, 8);
  to.number(static_cast<std::uint32_t>(request.pid), 4);
  to.number(static_cast<std::uint32_t>(request.signal), 4);
  to.number(host.mtu, 4);
  to.text(network.name, kNetworkSize);
  to.text(host.name, kInterfaceSize);
  to.text(host.owner, kOwnerSize);
  to.text(network.uplink, kInterfaceSize);
  to.text(request.interface, kInterfaceSize);
  to.text(request.path, kPathSize);
  to.prefix(network.subnet);
  to.prefix(network.subnet6);
  to.prefix(host.address);
  to.prefix(host.address6);
  to.number(request.access.mode, 4);
  to.number(request.access.directory_mode, 4);
  to.number(request.access.group, 4);
  to.number(request.remove ? 1 : 0, 1);
  return std::move(to).take();
}

Result<SpawnerRequest> decode_spawner_request(std::string_view bytes) {
  const Error refused{EBADMSG, "what came is nothing that the spawner may be asked for"};
  if (bytes.size() != kSpawnerRequestSize) return refused;
  Reader from(bytes);
  from.demand(from.number(4) == kMagic);
  SpawnerRequest request;
  request.kind = static_cast<Kind>(from.number(1));
  const std::uint64_t kind = from.number(1);
  from.demand(kind <= static_cast<std::uint8_t>(NetworkKind::internal));
  request.network.kind = static_cast<NetworkKind>(kind);
  const bool has_host = from.flag();
  request.offload = from.flag();
  request.id = from.number(8);
  const std::uint64_t pid = from.number(4);
  const std::uint64_t signal = from.number(4);
  from.demand(pid <= kPidMax && signal <= kSignalMax);
  request.pid = static_cast<pid_t>(pid);
  request.signal = static_cast<int>(signal);
  HostInterfaceConfig host;
  host.mtu = static_cast<std::uint32_t>(from.number(4));
  request.network.name = from.text(kNetworkSize);
  host.name = from.text(kInterfaceSize);
  host.owner = from.text(kOwnerSize);
  request.network.uplink = from.text(kInterfaceSize);
  request.interface = from.text(kInterfaceSize);
  request.path = from.text(kPathSize);
  request.network.subnet = from.prefix4();
  request.network.subnet6 = from.prefix6();
  host.address = from.prefix4();
  host.address6 = from.prefix6();
  request.access.mode = static_cast<std::uint32_t>(from.number(4));
  request.access.directory_mode = static_cast<std::uint32_t>(from.number(4));
  request.access.group = static_cast<std::uint32_t>(from.number(4));
  request.remove = from.flag();
  from.end();
  from.demand(has_host || host == HostInterfaceConfig{});
  if (has_host) request.network.host = std::move(host);
  if (!from.good() || !makes_sense(request)) return refused;
  return request;
}

// magic 4, kind 1, following 1, nothing 2, code 4, id 8, value 8, text
std::string encode_spawner_message(const SpawnerMessage& message) {
  std::string bytes;
  append_little_endian(bytes, kMagic, 4);
  append_little_endian(bytes, static_cast<std::uint8_t>(message.kind), 1);
  append_little_endian(bytes, message.following, 1);
  append_little_endian(bytes, 0, 2);
  append_little_endian(bytes, static_cast<std::uint32_t>(message.code), 4);
  append_little_endian(bytes, message.id, 8);
  append_little_endian(bytes, static_cast<std::uint64_t>(message.value), 8);
  bytes += std::string_view(message.text).substr(0, SpawnerMessage::kTextMax);
  return bytes;
}

void readdress_spawner_message(std::string& bytes, std::uint64_t id) {
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[kMessageIdAt + i] = static_cast<char>(id >> (8 * i) & 0xff);
  }
}

Result<SpawnerMessage> decode_spawner_message(std::string_view bytes) {
  if (bytes.size() < kMessageHeadSize || little_endian_at(bytes, 0, 4) != kMagic) {
    return Error{EBADMSG, "what came from the spawner is no message of ours"};
  }
  SpawnerMessage message;
  message.kind = static_cast<SpawnerMessage::Kind>(little_endian_at(bytes, 4, 1));
  message.following = static_cast<std::uint8_t>(little_endian_at(bytes, 5, 1));
  message.code = static_cast<std::int32_t>(little_endian_at(bytes, 8, 4));
  message.id = little_endian_at(bytes, kMessageIdAt, 8);
  message.value = static_cast<std::int64_t>(little_endian_at(bytes, 20, 8));
  message.text = bytes.substr(kMessageHeadSize, SpawnerMessage::kTextMax);
  return message;
}

}  // namespace lanyard
