// SPDX-License-Identifier: MIT
//
// Messages: what is accepted, what it means, what is answered.
#include "backend/gateway/dhcp_engine.h"

#include <algorithm>

#include "backend/gateway/dhcp_options.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kServerPort = 67;
constexpr std::uint16_t kClientPort = 68;
constexpr std::size_t kClientIdMax = 255;
constexpr std::uint32_t kIpUdpHeaders = 28;
constexpr std::uint32_t kMessageMin = 576;  // with these headers; what any client takes

constexpr MacAddress kBroadcastMac = MacAddress::from_number(0xffffffffffff);
constexpr Ipv4Address kBroadcastAddress = Ipv4Address::from_number(0xffffffff);

std::string client_id_of(const DhcpMessage& message) {
  const auto* const sent = message.option(dhcp_option::client_identifier);
  if (sent != nullptr && !sent->empty()) return {sent->begin(), sent->end()};
  const auto octets = message.chaddr.bytes();
  return '\1' + std::string(octets.begin(), octets.end());
}

// For the second of two that claim to be the same. Longer than what a client can send.
std::string twin_id(const std::string& client_id, MacAddress mac) {
  return client_id + " at " + mac.text();
}

}  // namespace

void DhcpServer::Engine::on_datagram(const GuestDatagram& datagram, Time now) {
  if (!config_.dhcp.enabled || datagram.guest == server_mac_ || !datagram.source.is_v4()) return;
  check_clock(now);
  const auto parsed = parse_dhcp_message(datagram.payload);
  if (!parsed) {
    if (allow_line(now)) {
      log_.notice("DHCP from {}: {}", datagram.guest.text(), parsed.error().text);
    }
    return;
  }
  if (!accepts(parsed.value(), now)) return;
  handle(parsed.value(), datagram.guest, datagram.source.v4(), now, std::nullopt, false);
}

// Refusals by name.
bool DhcpServer::Engine::accepts(const DhcpMessage& message, Time now) {
  std::string why;
  const auto* const id = message.option(dhcp_option::client_identifier);
  if (message.is_reply) {
    why = "a reply to the server's port";
  } else if (message.chaddr.is_zero() || message.chaddr.is_group()) {
    why = "no address of one machine";
  } else if (id != nullptr && id->size() > kClientIdMax) {
    why = fmt::format("a client identifier of {} bytes", id->size());
  } else if (!message.giaddr.is_unspecified() && !pool_->in_subnet(message.giaddr)) {
    why = fmt::format("relayed by {}, whose network is not this one, {}", message.giaddr.text(),
                      config_.subnet->text());
  } else {
    return true;
  }
  if (allow_line(now)) {
    log_.notice("DHCP {} from {} is not answered: {}", text_of(message.type), message.chaddr.text(),
                why);
  }
  return false;
}

void DhcpServer::Engine::handle(const DhcpMessage& message, MacAddress from, Ipv4Address source,
                                Time now, std::optional<Ipv4Address> probed, bool is_twin) {
  Query query{message, from, source, now, client_id_of(message), pool_->host_of(message.chaddr),
              probed};
  std::string twin = twin_id(query.client_id, message.chaddr);
  if (is_twin || table_.find_client(twin) != nullptr) query.client_id = std::move(twin);
  switch (message.type) {
    case DhcpType::discover: on_discover(query); break;
    case DhcpType::request: on_request(query); break;
    case DhcpType::decline: on_decline(query); break;
    case DhcpType::release: on_release(query); break;
    case DhcpType::inform: on_inform(query); break;
    case DhcpType::offer:
    case DhcpType::ack:
    case DhcpType::nak: break;  // what servers say
  }
}

void DhcpServer::Engine::on_discover(const Query& query) {
  const Row* const mine = row_of(query);
  if (mine != nullptr && is_suspect(query, *mine)) {
    start_probe(mine->lease.address, query);
    return;
  }
  const auto address = choose(query);
  if (!address) {
    exhausted(query);
    return;
  }
  if (!take(*address, query)) return;
  const Row& row = *table_.find(*address);
  if (needs_probe(row, query)) {
    start_probe(*address, query);
    return;
  }
  send_grant(query, DhcpType::offer, row);
}

// RFC 2131 4.3.1: the reserved one, the one it has or had, the one it asks for, a fresh one; and
// when there is none, the one that has been expired for longest.
std::optional<Ipv4Address> DhcpServer::Engine::choose(const Query& query) {
  const Row* const mine = row_of(query);
  if (query.host != nullptr && query.host->address) {
    const Ipv4Address reserved = *query.host->address;
    const Row* const holder = table_.find(reserved);
    const bool is_ours = holder == nullptr || holder == mine;
    if (pool_->permits(reserved, query.host) &&
        (is_ours || holder->lease.state == LeaseState::expired)) {
      return reserved;
    }
    if (holder != nullptr && allow_line(query.now)) {
      log_.notice("{} is reserved for {}, but {} ({}) has it; {} gets another one meanwhile",
                  reserved.text(), query.host->name, holder->lease.mac.text(),
                  text_of(holder->lease.state), query.message.chaddr.text());
    }
  }
  if (mine != nullptr && pool_->permits(mine->lease.address, query.host)) {
    return mine->lease.address;
  }
  const auto wish = query.message.address(dhcp_option::requested_address);
  if (wish && pool_->permits(*wish, query.host) && table_.find(*wish) == nullptr) return wish;
  if (const auto fresh = pool_->next_free(table_)) return fresh;
  for (const auto& [since, address] : table_.expired()) {
    if (pool_->permits(address, query.host)) return address;
  }
  return std::nullopt;
}

void DhcpServer::Engine::exhausted(const Query& query) {
  if (!exhausted_limit_.allow(query.now)) return;
  log_.warning(
      "no address is left for {}: {} leases are running, {} offered, {} quarantined; a longer "
      "range "
      "or a shorter lease time would help",
      query.message.chaddr.text(), table_.count(LeaseState::bound),
      table_.count(LeaseState::offered), table_.count(LeaseState::declined));
  Row refused;
  refused.lease.mac = query.message.chaddr;
  refused.lease.client_id = query.client_id;
  refused.lease.state = LeaseState::expired;
  tell("lease.refused", refused, "no address is left", query.now);
}

std::string DhcpServer::Engine::objection(const Query& query, Ipv4Address address,
                                          bool is_selecting) const {
  const Ipv4Prefix& subnet = *config_.subnet;
  if (!subnet.contains(address)) {
    return fmt::format("{} is not in this network, {}/{}", address.text(), subnet.network().text(),
                       subnet.length);
  }
  const HostConfig* const owner = pool_->reserved_for(address);
  if (owner != nullptr && owner != query.host) {
    return fmt::format("{} is reserved for another", address.text());
  }
  if (!pool_->permits(address, query.host)) {
    return fmt::format("{} is not handed out here", address.text());
  }
  const Row* const mine = row_of(query);
  const Row* const there = table_.find(address);
  const bool is_mine = there != nullptr && there == mine;
  if (there != nullptr && !is_mine) {
    return there->lease.state == LeaseState::declined
               ? fmt::format("{} is used by another machine", address.text())
               : fmt::format("{} is another client's", address.text());
  }
  if (query.host != nullptr && query.host->address && *query.host->address != address) {
    const Row* const holder = table_.find(*query.host->address);
    if (holder == nullptr || holder->lease.state == LeaseState::expired) {
      return fmt::format("{} is reserved for you", query.host->address->text());
    }
  }
  const bool has_other = mine != nullptr && !is_mine && mine->lease.state == LeaseState::bound;
  if (has_other && !is_selecting) {
    return fmt::format("your address is {}", mine->lease.address.text());
  }
  return {};
}

void DhcpServer::Engine::on_request(const Query& query) {
  const DhcpMessage& message = query.message;
  const auto server = message.address(dhcp_option::server_identifier);
  if (server && *server != server_) {
    on_other_server(query);
    return;
  }
  const bool has_address = !message.ciaddr.is_unspecified();  // renewing or rebinding
  const Ipv4Address address =
      has_address ? message.ciaddr
                  : message.address(dhcp_option::requested_address).value_or(Ipv4Address());
  if (address.is_unspecified()) {
    if (allow_line(query.now)) {
      log_.notice("DHCP REQUEST from {} names no address", message.chaddr.text());
    }
    return;
  }
  const std::string why = objection(query, address, server.has_value());
  if (!why.empty()) {
    send_nak(query, why);
    return;
  }
  if (!has_address && !server) {  // INIT-REBOOT: somebody else may have come meanwhile
    const Row* const mine = row_of(query);
    if (mine != nullptr && is_suspect(query, *mine)) {
      start_probe(address, query);
      return;
    }
    if (mine == nullptr || mine->lease.address != address ||
        mine->lease.state == LeaseState::offered) {
      if (!take(address, query)) return;
      if (needs_probe(*table_.find(address), query)) {
        start_probe(address, query);
        return;
      }
    }
  }
  send_grant(query, DhcpType::ack, bind(address, query));
}

// It has taken another server's offer: ours is free again.
void DhcpServer::Engine::on_other_server(const Query& query) {
  const Row* const mine = row_of(query);
  if (mine == nullptr || mine->lease.state != LeaseState::offered) return;
  end_of(mine->lease.address, query.now);
}

void DhcpServer::Engine::on_decline(const Query& query) {
  const auto server = query.message.address(dhcp_option::server_identifier);
  const auto address = query.message.address(dhcp_option::requested_address);
  const Row* const mine = row_of(query);
  if (server != server_ || !address || mine == nullptr || mine->lease.address != *address) return;
  if (mine->lease.state == LeaseState::expired) return;
  quarantine(*address, MacAddress(), "declined", query.now);
}

void DhcpServer::Engine::on_release(const Query& query) {
  const auto server = query.message.address(dhcp_option::server_identifier);
  const Row* const mine = row_of(query);
  if (server.value_or(server_) != server_ || mine == nullptr ||
      mine->lease.state != LeaseState::bound || mine->lease.address != query.message.ciaddr) {
    return;
  }
  const Ipv4Address address = mine->lease.address;
  table_.change(address, [&](Row& row) {
    row.lease.state = LeaseState::expired;
    row.until = row.written = query.now;
  });
  const Row& row = *table_.find(address);
  store_.put(snapshot(row, query.now));
  tell("lease.ended", row, "released", query.now);
}

// The client has set its address by hand and wants to know the rest (RFC 2131 4.3.5).
void DhcpServer::Engine::on_inform(const Query& query) {
  const DhcpMessage& message = query.message;
  const Ipv4Address address = message.ciaddr.is_unspecified() ? query.source : message.ciaddr;
  if (!pool_->in_subnet(address)) {
    if (allow_line(query.now)) {
      log_.notice("DHCP INFORM from {}: {} is not in this network, {}", message.chaddr.text(),
                  address.text(), config_.subnet->text());
    }
    return;
  }
  DhcpReplyFacts facts{config_, query.host, message, DhcpType::ack, server_, std::nullopt, {}};
  if (query.host != nullptr) facts.name = query.host->name;
  DhcpMessage reply;
  reply.type = DhcpType::ack;
  reply.ciaddr = address;
  set_boot_fields(facts, reply);
  send(query, std::move(reply), dhcp_reply_options(facts));
}

void DhcpServer::Engine::send_grant(const Query& query, DhcpType type, const Row& row) {
  const DhcpReplyFacts facts{config_,
                             query.host,
                             query.message,
                             type,
                             server_,
                             lease_time_for(query),
                             name_for(query, row)};
  DhcpMessage reply;
  reply.type = type;
  reply.yiaddr = row.lease.address;
  if (type == DhcpType::ack) reply.ciaddr = query.message.ciaddr;
  set_boot_fields(facts, reply);
  send(query, std::move(reply), dhcp_reply_options(facts));
}

void DhcpServer::Engine::send_nak(const Query& query, const std::string& why) {
  if (allow_line(query.now)) {
    log_.info("DHCP: refused to {}: {}", query.message.chaddr.text(), why);
  }
  DhcpMessage reply;
  reply.type = DhcpType::nak;
  send(query, std::move(reply), dhcp_nak_options(query.message, server_, why));
}

// Where to: RFC 2131 4.1.
void DhcpServer::Engine::send(const Query& query, DhcpMessage reply,
                              std::span<const DhcpOptionConfig> options) {
  const DhcpMessage& message = query.message;
  const bool is_nak = reply.type == DhcpType::nak;
  reply.is_reply = true;
  reply.xid = message.xid;
  reply.flags = message.flags;
  reply.giaddr = message.giaddr;
  reply.chaddr = message.chaddr;

  GuestDatagram out;
  out.source = server_;
  out.source_port = kServerPort;
  out.destination_port = kClientPort;
  if (!message.giaddr.is_unspecified()) {
    out.guest = query.from;
    out.destination = message.giaddr;
    out.destination_port = kServerPort;
    if (is_nak) reply.flags |= DhcpMessage::kBroadcastFlag;  // the client has no address to hear it
  } else if (!is_nak && !reply.ciaddr.is_unspecified()) {
    out.guest = message.chaddr;
    out.destination = reply.ciaddr;
  } else if (is_nak || message.wants_broadcast()) {
    out.guest = kBroadcastMac;
    out.destination = kBroadcastAddress;
  } else {
    out.guest = message.chaddr;
    out.destination = reply.yiaddr;
  }
  const std::uint32_t wanted = message.number(dhcp_option::message_size_max).value_or(kMessageMin);
  const std::uint32_t size_max =
      std::max(std::min(wanted, config_.mtu), kMessageMin) - kIpUdpHeaders;
  const DhcpBytes built = build_dhcp_message(reply, options, size_max);
  if (!built.left_out.empty() && allow_line(query.now)) {
    log_.notice("DHCP {} to {}: {} of {} options have no room in {} bytes, option {} among them",
                text_of(reply.type), message.chaddr.text(), built.left_out.size(), options.size(),
                size_max, built.left_out.front());
  }
  out.payload = built.bytes;
  link_.send_udp(out);
}

}  // namespace lanyard
