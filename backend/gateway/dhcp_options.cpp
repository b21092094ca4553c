// SPDX-License-Identifier: MIT
#include "backend/gateway/dhcp_options.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <span>

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;
namespace opt = dhcp_option;

constexpr std::size_t kTextMax = 255;

// What is ours to decide, whatever the configuration says.
constexpr std::array kOurs{opt::pad,
                           opt::requested_address,
                           opt::lease_time,
                           opt::overload,
                           opt::message_type,
                           opt::server_identifier,
                           opt::parameter_list,
                           opt::message_size_max,
                           opt::client_identifier,
                           opt::relay_information,
                           opt::end};

// What we can say without being configured for it, in the order for clients that do not choose.
constexpr std::array kBuiltIn{
    opt::subnet_mask, opt::classless_routes, opt::router, opt::dns,       opt::domain_name,
    opt::host_name,   opt::domain_search,    opt::mtu,    opt::broadcast, opt::ntp,
    opt::tftp_server, opt::boot_file};

// What a boot ROM needs, and what only an administrator can have meant for it.
constexpr std::array kForBoot{opt::tftp_server, opt::boot_file, opt::vendor_information};

const std::string& boot_file_of(const DhcpReplyFacts& facts) {
  return facts.host != nullptr && !facts.host->boot_file.empty() ? facts.host->boot_file
                                                                 : facts.config.dhcp.boot_file;
}

std::optional<Ipv4Address> next_server_of(const DhcpReplyFacts& facts) {
  if (facts.host != nullptr && !facts.host->next_server.empty()) {
    return Ipv4Address::parse(facts.host->next_server);
  }
  const DhcpConfig& dhcp = facts.config.dhcp;
  if (!dhcp.next_server.empty()) return Ipv4Address::parse(dhcp.next_server);
  if (!dhcp.tftp_root.empty()) return facts.server;
  return std::nullopt;
}

const Bytes* configured(const DhcpReplyFacts& facts, std::uint8_t code) {
  const auto find = [code](const std::vector<DhcpOptionConfig>& options) -> const Bytes* {
    const auto at = std::find_if(options.begin(), options.end(),
                                 [code](const DhcpOptionConfig& o) { return o.code == code; });
    return at == options.end() ? nullptr : &at->value;
  };
  const Bytes* const of_host = facts.host != nullptr ? find(facts.host->options) : nullptr;
  return of_host != nullptr ? of_host : find(facts.config.dhcp.options);
}

Bytes tftp_server_value(const DhcpReplyFacts& facts) {
  if (boot_file_of(facts).empty()) return {};
  if (!facts.config.dhcp.server_name.empty()) return dhcp_value(facts.config.dhcp.server_name);
  const auto server = next_server_of(facts);
  return server ? dhcp_value(server->text()) : Bytes{};
}

// Empty when there is nothing to say.
Bytes built_in(const DhcpReplyFacts& facts, std::uint8_t code) {
  const NetworkConfig& config = facts.config;
  const DhcpConfig& dhcp = config.dhcp;
  const auto one = [](Ipv4Address address) { return dhcp_value(std::span(&address, 1)); };
  switch (code) {
    case opt::subnet_mask: return one(config.subnet->netmask());
    case opt::router: return dhcp.router ? one(*dhcp.router) : Bytes{};
    case opt::dns: return dhcp_value(dhcp.dns);
    case opt::host_name: return dhcp_value(facts.name);
    case opt::domain_name: return dhcp_value(dhcp.domain);
    case opt::mtu: return dhcp_value16(static_cast<std::uint16_t>(std::min(config.mtu, 65535U)));
    case opt::broadcast: return one(config.subnet->broadcast());
    case opt::ntp: return dhcp_value(dhcp.ntp);
    case opt::tftp_server: return tftp_server_value(facts);
    case opt::boot_file: return dhcp_value(boot_file_of(facts));
    case opt::domain_search: return dhcp_search_list(dhcp.search);
    case opt::classless_routes: return dhcp_routes(dhcp.routes, dhcp.router);
    default: return {};
  }
}

// RFC 4702: we keep the name's address record (S), and say so if the client did not want that (O);
// in the client's own encoding.
Bytes fqdn_value(const DhcpReplyFacts& facts) {
  constexpr std::uint8_t kServerUpdates = 1;
  constexpr std::uint8_t kOverridden = 2;
  constexpr std::uint8_t kWireForm = 4;
  constexpr std::uint8_t kNoRcode = 255;
  const Bytes* const sent = facts.request.option(opt::client_fqdn);
  if (sent == nullptr || sent->size() < 3 || facts.name.empty()) return {};
  std::string name = facts.name;
  if (!facts.config.dhcp.domain.empty()) name += '.' + facts.config.dhcp.domain;
  const std::uint8_t theirs = (*sent)[0];
  const bool wire = (theirs & kWireForm) != 0;
  const bool overridden = (theirs & kServerUpdates) == 0;
  Bytes value{static_cast<std::uint8_t>(kServerUpdates | (overridden ? kOverridden : 0) |
                                        (wire ? kWireForm : 0)),
              kNoRcode, kNoRcode};
  const Bytes text = wire ? dns_wire_name(name) : dhcp_value(name);
  value.insert(value.end(), text.begin(), text.end());
  return value;
}

class OptionList {
 public:
  explicit OptionList(const DhcpReplyFacts& facts) : facts_(facts) {
    for (const std::uint8_t code : kOurs) done_.set(code);
  }

  // Of ours, or back to the client: not to be overridden.
  void put(std::uint8_t code, Bytes value) {
    done_.set(code);
    if (!value.empty()) list_.push_back({code, std::move(value)});
  }
  // As configured, else what we know; nothing the second time.
  void say(std::uint8_t code) {
    if (done_.test(code)) return;
    const Bytes* const wish = configured(facts_, code);
    put(code, wish != nullptr ? *wish : built_in(facts_, code));
  }
  void say_unless_configured(std::uint8_t code, Bytes value) {
    const Bytes* const wish = configured(facts_, code);
    put(code, wish != nullptr ? *wish : std::move(value));
  }
  std::vector<DhcpOptionConfig> take() { return std::move(list_); }

 private:
  const DhcpReplyFacts& facts_;
  std::bitset<256> done_;
  std::vector<DhcpOptionConfig> list_;
};

void say_what_was_asked_for(const DhcpReplyFacts& facts, OptionList& list) {
  if (const Bytes* const wanted = facts.request.option(opt::parameter_list)) {
    for (const std::uint8_t code : *wanted) list.say(code);
    return;
  }
  for (const std::uint8_t code : kBuiltIn) list.say(code);
  if (facts.host != nullptr) {
    for (const DhcpOptionConfig& option : facts.host->options) list.say(option.code);
  }
  for (const DhcpOptionConfig& option : facts.config.dhcp.options) list.say(option.code);
}

void echo(const DhcpMessage& request, std::uint8_t code, OptionList& list) {
  if (const Bytes* const sent = request.option(code)) list.put(code, *sent);
}

bool is_http_boot(const DhcpMessage& request) {
  return request.text(opt::vendor_class).starts_with("HTTPClient");
}

}  // namespace

bool is_boot_client(const DhcpMessage& request) {
  return request.text(opt::vendor_class).starts_with("PXEClient") || is_http_boot(request);
}

std::vector<DhcpOptionConfig> dhcp_reply_options(const DhcpReplyFacts& facts) {
  OptionList list(facts);
  list.put(opt::message_type, {static_cast<std::uint8_t>(facts.type)});
  list.put(opt::server_identifier, dhcp_value(std::span(&facts.server, 1)));
  if (facts.lease_time_s) {
    const std::uint64_t lease = *facts.lease_time_s;
    list.put(opt::lease_time, dhcp_value(*facts.lease_time_s));
    list.say_unless_configured(opt::renewal_time,
                               dhcp_value(static_cast<std::uint32_t>(lease / 2)));
    list.say_unless_configured(opt::rebinding_time,
                               dhcp_value(static_cast<std::uint32_t>(lease * 7 / 8)));
  } else {
    list.put(opt::renewal_time, {});
    list.put(opt::rebinding_time, {});
  }
  list.say(opt::subnet_mask);
  echo(facts.request, opt::client_identifier, list);
  if (is_boot_client(facts.request)) {
    for (const std::uint8_t code : kForBoot) list.say(code);
    // UEFI takes an offer for HTTP boot only when it says this.
    if (is_http_boot(facts.request) && boot_file_of(facts).starts_with("http")) {
      list.put(opt::vendor_class, dhcp_value("HTTPClient"));
    }
  }
  list.put(opt::client_fqdn, fqdn_value(facts));
  say_what_was_asked_for(facts, list);
  echo(facts.request, opt::relay_information, list);  // last (RFC 3046 2.1)
  return list.take();
}

void set_boot_fields(const DhcpReplyFacts& facts, DhcpMessage& reply) {
  constexpr std::size_t kFileMax = 127;
  constexpr std::size_t kServerNameMax = 63;
  const std::string& file = boot_file_of(facts);
  if (const auto server = next_server_of(facts)) reply.siaddr = *server;
  // What is longer goes out as an option only.
  if (file.size() <= kFileMax) reply.file = file;
  const std::string& name = facts.config.dhcp.server_name;
  if (!file.empty() && name.size() <= kServerNameMax) reply.server_name = name;
}

std::vector<DhcpOptionConfig> dhcp_nak_options(const DhcpMessage& request, Ipv4Address server,
                                               std::string_view why) {
  std::vector<DhcpOptionConfig> list{
      {opt::message_type, {static_cast<std::uint8_t>(DhcpType::nak)}},
      {opt::server_identifier, dhcp_value(std::span(&server, 1))},
      {opt::message, dhcp_value(why.substr(0, kTextMax))}};
  for (const std::uint8_t code : {opt::client_identifier, opt::relay_information}) {
    if (const Bytes* const sent = request.option(code)) list.push_back({code, *sent});
  }
  return list;
}

}  // namespace lanyard
