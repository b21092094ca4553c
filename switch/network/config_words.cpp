// SPDX-License-Identifier: MIT
#include "switch/network/config_words.h"

#include <algorithm>
#include <charconv>

#include "switch/network/ip_address.h"

namespace lanyard {
namespace {

bool is_word(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

}  // namespace

bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() <= kInterfaceNameMax && name != "." && name != ".." &&
         name.front() != '-' && is_word(name, "-_.@+");
}

bool is_network_name(std::string_view name) {
  return !name.empty() && name.size() <= kNetworkNameMax && is_word(name, "-_.") &&
         name.front() != '-' && name.front() != '.';
}

bool is_upstream(std::string_view text) {
  const std::size_t hash = text.find('#');
  if (!IpAddress::parse(text.substr(0, hash))) return false;
  return hash == std::string_view::npos || is_port(text.substr(hash + 1));
}

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

bool is_domain(std::string_view text) {
  return !text.empty() && text.size() <= 253 && is_word(text, "-_.") && text.front() != '.' &&
         text.front() != '-' && text.find("..") == std::string_view::npos;
}

}  // namespace lanyard
