// SPDX-License-Identifier: MIT
//
// The network's own names, and which questions never leave it.
//
// A name is answered here when it is
//   - a record or a host of the configuration, as `name` or `name.DOMAIN`; a record with a dot in
//     its name is a full name;
//   - `gateway` (the router's addresses) or `host` (those of the host's interface; on nat the
//     router's, when that means the host: policy.host_loopback), likewise;
//   - a guest with a lease, likewise, but it cannot take any of the names above, nor wpad;
//   - anything else in DOMAIN: there is no such name;
//   - the reverse name of an address of the subnets, and of records elsewhere;
//   - localhost and invalid (RFC 6761), resolver.arpa (RFC 9462), which mean nothing outside.
// A name that exists but has no such type is an empty answer, whatever the type. A short name that
// nobody has goes out like any other: the host may know it. Gateway thread only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/dns_message.h"
#include "backend/gateway/dns_reply.h"
#include "backend/gateway/guest_directory.h"
#include "switch/network/network_config.h"

namespace lanyard {

class DnsZone {
 public:
  static constexpr std::uint32_t kTtl_s = 30;

  DnsZone(const NetworkConfig& config, const GuestDirectory& directory);

  // Nothing when the question is for the outside.
  std::optional<DnsAnswer> answer(const DnsQuestion& question) const;

 private:
  std::optional<DnsAnswer> answer_reverse(const DnsQuestion& question) const;
  std::optional<DnsAnswer> answer_special(const DnsQuestion& question) const;
  // Of a short name: the addresses, and whether anybody is called that.
  std::vector<IpAddress> addresses_of(const std::string& short_name) const;
  std::vector<IpAddress> builtin_addresses(std::string_view short_name) const;
  // The full name of whoever has the address.
  std::optional<DnsName> name_of(const IpAddress& address) const;
  std::optional<DnsName> full_name(std::string_view name) const;
  void add(std::string_view name, const IpAddress& address);
  // The short name that `name` is, if it can be one of ours: a single label, or one below the
  // domain; several below the domain, for records.
  std::optional<std::string> short_name(const DnsName& name) const;

  const GuestDirectory* directory_;
  NetworkConfig config_;
  std::optional<DnsName> domain_;
  std::map<std::string, std::vector<IpAddress>> short_;  // below the domain, in lower case
  std::map<std::string, std::vector<IpAddress>> full_;   // by key of the name
  std::map<IpAddress, DnsName> reverse_;
};

}  // namespace lanyard
