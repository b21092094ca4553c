// SPDX-License-Identifier: MIT
#include "backend/plug_target.h"

#include <cerrno>

#include "switch/base/text.h"
#include "switch/base/unix_socket.h"

namespace lanyard {
namespace {

constexpr std::string_view kVdeScheme = "vde://";
// The upper 24 bits of a word, signed, hold a port's number in a request.
constexpr std::int64_t kPeerPortMax = 0x7fffff;
// The longest name put into a directory: ".PID-N" of our data socket.
constexpr std::size_t kNameRoom = 20;

Error bad_option(std::string_view option) {
  return {EINVAL, fmt::format("plug: '{}' is none of the options a VDE switch's name can have in "
                              "brackets: N, port=N, NAME, portgroup=NAME, mode=OCTAL, group=NAME",
                              printable(option))};
}

Result<void> read_port(std::string_view text, VdeAddress& address) {
  const auto number = parse_integer(text);
  if (!number || *number > kPeerPortMax) return bad_option(text);
  // A negative one is how vdeplug writes "any".
  if (*number >= 0) address.port = static_cast<std::uint32_t>(*number);
  return {};
}

Result<void> read_port_group(std::string_view text, VdeAddress& address) {
  if (text.empty() || text.front() == '.') return bad_option(text);
  address.port_group = text;
  return {};
}

Result<void> read_option(std::string_view option, VdeAddress& address) {
  const std::size_t equals = option.find('=');
  if (equals == std::string_view::npos) {
    return parse_integer(option) ? read_port(option, address) : read_port_group(option, address);
  }
  const std::string_view key = option.substr(0, equals);
  const std::string_view value = option.substr(equals + 1);
  if (key == "port") return read_port(value, address);
  if (key == "portgroup") return read_port_group(value, address);
  if (key == "group" && !value.empty()) {
    address.group = value;
    return {};
  }
  const auto mode = parse_mode(value);
  if (key != "mode" || !mode) return bad_option(option);
  address.mode = *mode;
  return {};
}

Result<VdeAddress> read_address(std::string_view text) {
  VdeAddress address;
  std::string_view options;
  if (text.ends_with(']')) {
    const std::size_t bracket = text.rfind('[');
    if (bracket == std::string_view::npos) {
      return Error{EINVAL, fmt::format("plug: '{}' has a ']' without a '['", printable(text))};
    }
    options = text.substr(bracket + 1, text.size() - bracket - 2);
    text = text.substr(0, bracket);
  }
  if (text.empty() || text.find('\0') != std::string_view::npos) {
    return Error{EINVAL, "plug: it takes the directory of a VDE switch: plug:///run/lab"};
  }
  if (text.size() + kNameRoom > kSocketPathMax) {
    return Error{ENAMETOOLONG,
                 fmt::format("plug: '{}': a switch's directory can have {} bytes at most",
                             printable(text), kSocketPathMax - kNameRoom)};
  }
  address.directory = text;
  while (!options.empty()) {
    const std::string_view option = options.substr(0, options.find('/'));
    options.remove_prefix(std::min(option.size() + 1, options.size()));
    if (option.empty()) continue;
    if (Result<void> read = read_option(option, address); !read) return read.error();
  }
  if (address.port_group.size() + 1 > kNameRoom) return bad_option(address.port_group);
  return address;
}

}  // namespace

Result<PlugTarget> parse_plug_target(std::string_view text) {
  PlugTarget target;
  target.text = text;
  if (text.starts_with(kVdeScheme)) {
    text.remove_prefix(kVdeScheme.size());
  } else if (text.find("://") != std::string_view::npos) {
    target.vnl = text;
    return target;
  }
  Result<VdeAddress> address = read_address(text);
  if (!address) return address.error();
  target.vde = address.take();
  return target;
}

}  // namespace lanyard
