// SPDX-License-Identifier: MIT
//
// Sockets to the host's resolvers: one for each query, so that the kernel gives each a random port
// (RFC 5452 9.2), connected, so that only the resolver's datagrams arrive and its ICMP errors do,
// too. Nothing here waits. Gateway thread only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backend/gateway/dns_forwarder.h"
#include "switch/base/fd.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class DnsUpstream final : public DnsOutlet {
 public:
  // Either may close attempts, the one it is about included.
  using OnReply = std::function<void(DnsAttemptId, std::span<const std::uint8_t>)>;
  using OnFailure = std::function<void(DnsAttemptId, const std::string& why)>;

  DnsUpstream(EventLoop& loop, OnReply on_reply, OnFailure on_failure)
      : loop_(loop), on_reply_(std::move(on_reply)), on_failure_(std::move(on_failure)) {}

  Result<void> send(DnsAttemptId attempt, const ResolverAddress& resolver, Transport transport,
                    std::span<const std::uint8_t> query) override;
  void close(DnsAttemptId attempt) override { channels_.erase(attempt); }
  std::size_t open_sockets() const { return channels_.size(); }

 private:
  struct Channel {
    Transport transport = Transport::udp;
    UniqueFd fd;
    std::vector<std::uint8_t> unsent;  // by TCP
    std::vector<std::uint8_t> received;
    EventLoop::Watch watch;  // ends before the descriptor does
  };

  Result<Channel> open(DnsAttemptId attempt, const ResolverAddress& resolver, Transport transport,
                       std::span<const std::uint8_t> query);
  void on_datagrams(DnsAttemptId attempt);
  void on_stream(DnsAttemptId attempt, std::uint32_t events);
  Result<void> flush(Channel& channel);
  // False when there was none, or the channel is gone.
  bool take_message(DnsAttemptId attempt);

  EventLoop& loop_;
  OnReply on_reply_;
  OnFailure on_failure_;
  std::map<DnsAttemptId, Channel> channels_;
};

}  // namespace lanyard
