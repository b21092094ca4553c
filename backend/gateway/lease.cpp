// SPDX-License-Identifier: MIT
#include "backend/gateway/lease.h"

#include <array>
#include <ctime>

#include "switch/base/text.h"

namespace lanyard {
namespace {

std::string time_text(std::int64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return {};
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

}  // namespace

std::string_view text_of(LeaseState state) {
  constexpr std::array<std::string_view, 5> kNames{"offered", "bound", "declined", "reserved",
                                                   "expired"};
  return kNames[static_cast<std::size_t>(state)];
}

Json to_json(const Lease& lease) {
  std::string client_id;
  for (const char byte : lease.client_id) {
    append(client_id, "{:02x}", static_cast<unsigned char>(byte));
  }
  Json row{{"address", lease.address.text()},
           {"mac", lease.mac.is_zero() ? std::string() : lease.mac.text()},
           {"name", lease.name},
           {"state", text_of(lease.state)},
           {"client_id", client_id},
           {"expires", lease.expires_s == 0 ? std::string() : time_text(lease.expires_s)}};
  row["expires_s"] = lease.expires_s == 0 ? Json() : Json(lease.expires_s);
  return row;
}

}  // namespace lanyard
