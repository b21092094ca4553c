// SPDX-License-Identifier: MIT
//
// Network address translation for the guests of one network: what the gateway hands it and what can
// be asked of it. Two engines are behind it: libslirp (slirp_engine.h), and for the TCP connections
// that guests open our own, if the network is to have it (tcp_engine.h); policy, quotas, the flow
// table and the forwards are ours and stand in front of both. Gateway thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/gateway/guest_directory.h"
#include "backend/gateway/guest_link.h"
#include "backend/gateway/path_listeners.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/network/network_config.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

struct Flow {
  std::string transport;  // "tcp", "udp", "icmp"
  IpAddress guest;
  std::uint16_t guest_port = 0;
  std::string host;  // "ADDRESS:PORT" of our socket; empty while unknown
  IpAddress target;
  std::uint16_t target_port = 0;
  std::string state;            // "SYN_SENT", "ESTABLISHED", ... ; "" for udp and icmp
  std::string engine;           // "direct", "libslirp"; "" for udp and icmp
  std::uint64_t bytes_out = 0;  // from the guest
  std::uint64_t bytes_in = 0;   // to the guest
  std::string forward;          // the name of the forward it came in by; empty
};

struct ForwardStatus {
  ForwardConfig config;
  bool listening = false;
  std::string problem;  // why not
  std::uint32_t flows = 0;
};

class Nat {
 public:
  // Silence after which a TCP connection is ended: what RFC 5382 5 asks for at least.
  struct Patience {
    Duration established = std::chrono::minutes(124);
    Duration transitory = std::chrono::minutes(4);  // a side has closed it, or it is not up yet
  };
  struct Context {
    EventLoop& loop;
    GuestLink& link;
    const GuestDirectory& directory;
    Log& log;
    Patience patience{};
    PathListeners* path_listeners = nullptr;  // without, no forward begins at a Unix socket
  };

  // The frames of one turn, each whole and checked as far as its Ethernet header, addressed to the
  // router; their bytes may be changed in place. ARP replies and neighbour advertisements to the
  // router belong here, too: forwards learn by them where a silent guest is.
  struct Input {
    std::span<std::uint8_t> frame;
    Offload offload;
  };

  static Result<std::unique_ptr<Nat>> create(const NetworkConfig& config, Context context);
  virtual ~Nat() = default;

  virtual void input(std::span<Input> frames) = 0;
  // Takes over what can change while flows go on: policy, forwards, outbound addresses. An error
  // names what cannot, and then nothing has changed.
  virtual Result<void> reconfigure(const NetworkConfig& config) = 0;
  // EADDRINUSE when the name or the port is taken, with who holds it.
  virtual Result<void> add_forward(const ForwardConfig& forward) = 0;
  virtual Result<void> remove_forward(std::string_view name) = 0;  // ENOENT
  virtual std::vector<ForwardStatus> forwards() const = 0;
  virtual std::vector<Flow> flows() const = 0;
  virtual std::size_t flow_count() const = 0;
  // The switch takes frames again.
  virtual void resume() = 0;

  // TCP to port 53 of the network's DNS addresses goes to these ports of the host's 127.0.0.1 and
  // ::1, whatever the policy says; 0 refuses it.
  virtual void set_dns_tcp_ports(std::uint16_t loopback4, std::uint16_t loopback6) = 0;
  // A guest got, lost or changed an address or a name: forwards to guests by name are aimed anew.
  virtual void guests_changed() = 0;
  // How often what happened, by names of nat_counters.h, those at zero too; for `status`.
  virtual std::vector<std::pair<std::string, std::uint64_t>> counters() const = 0;
};

}  // namespace lanyard
