// SPDX-License-Identifier: MIT
//
// What the tests of DNS share: a network with a few guests, queries, and replies as sentences.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/dns_message.h"
#include "backend/gateway/guest_directory.h"
#include "backend/gateway/guest_link.h"
#include "switch/network/network_config.h"

namespace lanyard::testing {

using DnsBytes = std::vector<std::uint8_t>;

class FakeGuestDirectory final : public GuestDirectory {
 public:
  std::vector<IpAddress> addresses_of(std::string_view name) const override {
    const auto found = guests.find(std::string(name));
    return found == guests.end() ? std::vector<IpAddress>{} : found->second;
  }
  std::optional<std::string> name_of(const IpAddress& address) const override {
    for (const auto& [name, addresses] : guests) {
      for (const IpAddress& one : addresses) {
        if (one == address) return name;
      }
    }
    return std::nullopt;
  }
  std::optional<MacAddress> mac_of(const IpAddress&) const override { return std::nullopt; }

  std::map<std::string, std::vector<IpAddress>> guests;
};

// Keeps what it is given to send.
class RecordingGuestLink final : public GuestLink {
 public:
  struct Datagram {
    GuestDatagram header;  // without its payload
    DnsBytes payload;
  };
  struct Icmp6 {
    MacAddress to;
    Ipv6Address source;
    Ipv6Address destination;
    DnsBytes body;
  };

  void send_udp(const GuestDatagram& datagram) override {
    datagrams.push_back({datagram, {datagram.payload.begin(), datagram.payload.end()}});
    datagrams.back().header.payload = {};
  }
  void send_arp_request(Ipv4Address, Ipv4Address) override {}
  void send_icmp6(MacAddress to, const Ipv6Address& source, const Ipv6Address& destination,
                  std::span<const std::uint8_t> body) override {
    icmp6.push_back({to, source, destination, {body.begin(), body.end()}});
  }
  void send_frame(std::span<const std::uint8_t>, const Offload&) override {}
  bool has_room() const override { return true; }

  std::vector<Datagram> datagrams;
  std::vector<Icmp6> icmp6;
};

inline DnsName dns_name(std::string_view text) {
  return *DnsName::parse(text);
}

inline IpAddress dns_ip(std::string_view text) {
  return *IpAddress::parse(text);
}

inline DnsBytes dns_query(std::uint16_t id, std::string_view name, DnsType type = DnsType::a,
                          std::optional<std::uint16_t> edns_size = std::nullopt) {
  DnsHeader header;
  header.id = id;
  header.recursion_desired = true;
  DnsWriter writer(header);
  writer.question({dns_name(name), type, kDnsClassIn});
  if (edns_size) writer.edns(*edns_size, false);
  return writer.take();
}

// What a resolver says to `query`: each address in a record of the question's name.
inline DnsBytes dns_response(std::span<const std::uint8_t> query,
                             const std::vector<IpAddress>& addresses,
                             DnsRcode rcode = DnsRcode::no_error) {
  const DnsHead head = *parse_dns_head(query);
  DnsHeader header = head.header;
  header.response = true;
  header.recursion_available = true;
  header.rcode = rcode;
  DnsWriter writer(header);
  writer.question(*head.question);
  for (const IpAddress& address : addresses) {
    writer.address(DnsWriter::Section::answer, head.question->name, 60, address);
  }
  return writer.take();
}

// "NOERROR 10.0.2.15", "NXDOMAIN", "NOERROR" (no data), "SERVFAIL", "TC NOERROR", "PTR web.lan".
inline std::string dns_sentence(std::span<const std::uint8_t> reply) {
  const auto message = parse_dns_message(reply);
  if (!message) return "not a message";
  if (!message->header.response) return "not a reply";
  constexpr std::string_view kRcodes[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                          "NXDOMAIN", "NOTIMP",  "REFUSED"};
  const auto rcode = static_cast<std::size_t>(message->header.rcode);
  std::string text = message->header.truncated ? "TC " : "";
  text += rcode < std::size(kRcodes) ? std::string(kRcodes[rcode]) : std::to_string(rcode);
  for (const DnsRecord& record : message->answers) {
    text += ' ';
    if (const auto address = record.address()) {
      text += address->text();
    } else if (record.type == DnsType::ptr) {
      DnsReader reader(reply, record.data_offset);
      text += "PTR:" + reader.name().text();
    } else {
      text += "TYPE" + std::to_string(static_cast<int>(record.type));
    }
  }
  return text;
}

// 10.0.2.0/24 and fd00::/64, domain lan: a host `web` of the configuration, records, a policy that
// has no host loopback.
inline NetworkConfig dns_network() {
  NetworkConfig config;
  config.name = "lab";
  config.kind = NetworkKind::nat;
  config.domain = "lan";
  config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
  config.subnet6 = Ipv6Prefix::parse("fd00::/64");
  config.router = Ipv4Address::parse("10.0.2.2");
  config.dns_address = Ipv4Address::parse("10.0.2.3");
  config.router6 = Ipv6Address::parse("fd00::2");
  config.dns_address6 = Ipv6Address::parse("fd00::3");
  config.dns.enabled = true;
  HostConfig web;
  web.name = "web";
  web.address = Ipv4Address::parse("10.0.2.50");
  config.hosts.push_back(web);
  config.dns.records = {{"printer", dns_ip("10.0.2.77")},
                        {"only6", dns_ip("fd00::66")},
                        {"db.example.org", dns_ip("192.0.2.9")},
                        {"a.deep.lan", dns_ip("10.0.2.78")}};
  return config;
}

}  // namespace lanyard::testing
