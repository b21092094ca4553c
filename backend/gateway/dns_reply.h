// SPDX-License-Identifier: MIT
//
// Replies that are made here and not by a resolver: of the network's own names, and of failures.
// Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "backend/gateway/dns_message.h"

namespace lanyard {

// What is offered to others, and the most that is sent by UDP: in one piece on every path.
constexpr std::uint16_t kDnsUdpSizeMax = 1232;

struct DnsAnswer {
  struct Record {
    DnsName owner;
    std::variant<IpAddress, DnsName> value;  // A or AAAA; PTR
  };
  DnsRcode rcode = DnsRcode::no_error;
  std::vector<Record> records;
  std::optional<DnsName> zone;  // of a negative answer: whose SOA is shown
  std::uint32_t ttl_s = 0;
};

// How large a reply by UDP to `query` may be.
std::size_t dns_udp_size_of(const DnsMessage& query);

// The reply to a query. Larger than `size_max` it only says that it was cut (TC).
std::vector<std::uint8_t> make_dns_reply(const DnsMessage& query, const DnsAnswer& answer,
                                         std::size_t size_max);

// A reply that says no more than `rcode`.
std::vector<std::uint8_t> make_dns_error(const DnsMessage& query, DnsRcode rcode);

// The same to a query of which only the head is legible.
std::vector<std::uint8_t> make_dns_error(const DnsHead& query, DnsRcode rcode);

// What is left of a reply that is too large for UDP.
std::vector<std::uint8_t> make_dns_truncated(const DnsMessage& query, const DnsHeader& reply);

}  // namespace lanyard
