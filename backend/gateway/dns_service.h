// SPDX-License-Identifier: MIT
//
// The name server of one network: guests ask it by UDP at the network's DNS address and by TCP
// through NAT, which re-aims them at tcp_port() or tcp_port6() on the host's loopback; without NAT
// there is no TCP, and the gateway refuses it (address_responder.h). The network's own names are
// answered here (dns_zone.h); everything else goes to the host's resolvers (dns_forwarder.h), which
// are read from resolv.conf and read again whenever it changes (resolver_list.h). This class only
// joins those parts to descriptors and timers.
//
// How large an answer may be: by UDP as large as the guest says it can take (512 bytes without
// EDNS), but never more than 1232 bytes, the size that every path carries in one piece; guests are
// told of larger ones with TC and come again by TCP, where 65535 bytes are the limit. Resolvers are
// told the same size, so no fragment is needed on either side.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/gateway/guest_directory.h"
#include "backend/gateway/guest_link.h"
#include "switch/base/json.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/network/network_config.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

struct DnsCounters {
  std::uint64_t queries = 0;      // from guests, by UDP and TCP
  std::uint64_t local = 0;        // answered here
  std::uint64_t forwarded = 0;    // sent to a resolver
  std::uint64_t answered = 0;     // by a resolver
  std::uint64_t failed = 0;       // no resolver answered, or there was none
  std::uint64_t duplicates = 0;   // asked again while under way
  std::uint64_t malformed = 0;    // not a query that can be answered
  std::uint64_t refused = 0;      // too many under way
  std::uint64_t forged = 0;       // came from a resolver and answers nothing that was asked
  std::uint64_t truncated = 0;    // told to come by TCP
  std::uint64_t connections = 0;  // by TCP
};

struct DnsStatus {
  struct Resolver {
    std::string address;  // "192.0.2.1", "fe80::1%eth0", "192.0.2.1#5353"
    bool answers = true;  // false: silent or unreachable; asked last, and tried now and then
    std::uint64_t queries = 0;
    std::uint64_t replies = 0;
    std::uint64_t timeouts = 0;
    std::string problem;  // of the last attempt that failed
  };
  std::string source;   // the file that names the resolvers, or "configuration"
  std::string problem;  // why names outside cannot be resolved; empty when they can
  std::vector<Resolver> resolvers;
  DnsCounters counters;
  std::uint32_t pending = 0;
  std::uint16_t tcp_port = 0;
  std::uint16_t tcp_port6 = 0;
};

Json to_json(const DnsStatus& status);

class DnsService {
 public:
  // `clock` is the loop's, unless a test has its own.
  DnsService(const NetworkConfig& config, EventLoop& loop, GuestLink& link,
             const GuestDirectory& directory, Log& log, std::function<Time()> clock = {});
  ~DnsService();
  DnsService(const DnsService&) = delete;
  DnsService& operator=(const DnsService&) = delete;

  // What came for port 53 of one of the network's DNS addresses.
  void on_datagram(const GuestDatagram& datagram);
  // Queries under way are finished by the resolvers they were sent to.
  Result<void> reconfigure(const NetworkConfig& config);
  // Of 127.0.0.1 and of ::1; 0 when there is no listener there (the log says why there is none).
  std::uint16_t tcp_port() const;
  std::uint16_t tcp_port6() const;
  DnsStatus status() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lanyard
