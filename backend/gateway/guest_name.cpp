// SPDX-License-Identifier: MIT
#include "backend/gateway/guest_name.h"

#include <algorithm>
#include <array>

namespace lanyard {
namespace {

constexpr std::size_t kLabelMax = 63;
constexpr std::array<std::string_view, 3> kTrusted{"localhost", "wpad", "isatap"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

// The first label of the name in option 81, in wire form or as the text that RFC 4702 deprecates.
std::optional<std::string> fqdn_label(const std::vector<std::uint8_t>& value) {
  constexpr std::size_t kHeader = 3;
  constexpr std::uint8_t kWireForm = 4;
  if (value.size() <= kHeader) return std::nullopt;
  std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
  text.remove_prefix(kHeader);
  if ((value[0] & kWireForm) == 0) return guest_label(text.substr(0, text.find('\0')));
  const std::size_t size = value[kHeader];
  if (size == 0 || size > text.size() - 1) return std::nullopt;
  const std::string_view label = text.substr(1, size);
  if (label.find('.') != std::string_view::npos) return std::nullopt;
  return guest_label(label);
}

}  // namespace

std::optional<std::string> guest_label(std::string_view text) {
  std::string label(text.substr(0, text.find('.')));
  if (label.empty() || label.size() > kLabelMax) return std::nullopt;
  for (char& c : label) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_letter(c) && !is_digit(c) && c != '-') return std::nullopt;
  }
  if (label.front() == '-' || label.back() == '-') return std::nullopt;
  if (std::all_of(label.begin(), label.end(), is_digit)) return std::nullopt;
  if (std::find(kTrusted.begin(), kTrusted.end(), label) != kTrusted.end()) return std::nullopt;
  return label;
}

std::optional<std::string> guest_name(const DhcpMessage& request) {
  if (const auto* const value = request.option(dhcp_option::client_fqdn)) {
    if (auto label = fqdn_label(*value)) return label;
  }
  return guest_label(request.text(dhcp_option::host_name));
}

std::string unique_guest_name(const std::string& wanted,
                              const std::function<bool(const std::string&)>& is_taken) {
  constexpr unsigned kSuffixMax = 99;
  if (!is_taken(wanted)) return wanted;
  for (unsigned n = 2; n <= kSuffixMax; ++n) {
    const std::string suffix = '-' + std::to_string(n);
    std::string name = wanted.substr(0, kLabelMax - suffix.size()) + suffix;
    if (!is_taken(name)) return name;
  }
  return {};
}

}  // namespace lanyard
