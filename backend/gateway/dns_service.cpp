// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_service.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "backend/gateway/dns_forwarder.h"
#include "backend/gateway/dns_tcp.h"
#include "backend/gateway/dns_upstream.h"
#include "backend/gateway/resolver_list.h"
#include "switch/runtime/deadline_timer.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kDnsPort = 53;

// Numbers from the kernel, some at a time.
class UnguessableNumbers {
 public:
  std::uint16_t operator()() {
    if (used_ == pool_.size()) {
      // For 256 bytes it neither fails nor gives less, once the kernel has started (getrandom(2)).
      if (::getrandom(pool_.data(), sizeof pool_, 0) != sizeof pool_) pool_ = {};
      used_ = 0;
    }
    return pool_[used_++];
  }

 private:
  std::array<std::uint16_t, 128> pool_{};
  std::size_t used_ = pool_.size();
};

// On networks that the host itself is part of, it may have us as its resolver.
bool is_our_own(const NetworkConfig& config, const IpAddress& address) {
  if (config.kind == NetworkKind::nat) return false;
  return (config.dns_address && address == IpAddress(*config.dns_address)) ||
         (config.dhcp_address && address == IpAddress(*config.dhcp_address)) ||
         (config.dns_address6 && address == IpAddress(*config.dns_address6));
}

std::string names_of(const ResolverList& list) {
  std::string text;
  for (const ResolverAddress& resolver : list.addresses) {
    text += (text.empty() ? "" : ", ") + resolver.text();
  }
  return text;
}

}  // namespace

struct DnsService::Parts {
  Parts(const NetworkConfig& network, EventLoop& event_loop, GuestLink& guest_link,
        const GuestDirectory& directory, Log& the_log, std::function<Time()> the_clock);

  void refresh_resolvers(bool anyway);
  Result<void> use(const NetworkConfig& network);
  void send(const DnsForwarder::Asker& asker, std::span<const std::uint8_t> reply);
  void arm();
  void on_timer();

  NetworkConfig config;
  EventLoop& loop;
  std::function<Time()> clock;
  GuestLink& link;
  Log& log;
  ResolverList configured;
  ResolverFile file;
  DnsUpstream upstream;
  DnsForwarder forwarder;
  std::unique_ptr<DnsTcpServer> tcp;
  std::string problem;  // why there is no resolver
  DeadlineTimer timer{loop, [this] { on_timer(); }};
};

DnsService::Parts::Parts(const NetworkConfig& network, EventLoop& event_loop, GuestLink& guest_link,
                         const GuestDirectory& directory, Log& the_log,
                         std::function<Time()> the_clock)
    : config(network),
      loop(event_loop),
      clock(std::move(the_clock)),
      link(guest_link),
      log(the_log),
      file(network.dns.resolv_conf),
      upstream(
          loop,
          [this](DnsAttemptId attempt, std::span<const std::uint8_t> message) {
            forwarder.on_reply(attempt, message, clock());
            arm();
          },
          [this](DnsAttemptId attempt, const std::string& why) {
            forwarder.on_failure(attempt, why, clock());
            arm();
          }),
      forwarder(network, {directory, upstream,
                          [this](const DnsForwarder::Asker& asker,
                                 std::span<const std::uint8_t> reply) { send(asker, reply); },
                          UnguessableNumbers(), log}) {
  if (const Result<void> used = use(network); !used) log.error("{}", used.error().text);
  auto server = DnsTcpServer::create(
      loop,
      [this](std::uint64_t connection, std::span<const std::uint8_t> message) {
        refresh_resolvers(false);
        const bool replied = forwarder.query({connection, {}, {}, 0, {}}, message, clock());
        arm();
        return replied;
      },
      [this](std::uint64_t connection) {
        forwarder.forget_connection(connection);
        arm();
      },
      clock);
  if (server) {
    tcp = server.take();
  } else {
    log.error("{}", server.error().text);
  }
}

Result<void> DnsService::Parts::use(const NetworkConfig& network) {
  Result<ResolverList> list = parse_upstream(network.dns.upstream);
  if (!list) return list.error();
  configured = list.take();
  if (network.dns.resolv_conf != file.path()) file = ResolverFile(network.dns.resolv_conf);
  config = network;
  forwarder.set_zone(network);
  refresh_resolvers(true);
  return {};
}

void DnsService::Parts::refresh_resolvers(bool anyway) {
  const bool from_file = config.dns.upstream.empty();
  const bool changed = from_file && file.refresh();
  if (from_file && !file.problem().empty()) problem = file.problem();
  if (!changed && !anyway) return;
  ResolverList list = from_file ? file.list() : configured;
  const bool had_any = !list.addresses.empty();
  std::erase_if(list.addresses, [this](const ResolverAddress& resolver) {
    return resolver.port == kDnsPort && is_our_own(config, resolver.address);
  });
  if (list.addresses.empty()) {
    if (had_any) problem = "this network's own name server is the only resolver of the host";
    log.warning("names outside of this network cannot be resolved: {}", problem);
  } else {
    problem.clear();
    log.info("resolvers: {}", names_of(list));
  }
  forwarder.set_resolvers(list);
}

void DnsService::Parts::send(const DnsForwarder::Asker& asker,
                             std::span<const std::uint8_t> reply) {
  if (asker.connection != 0) {
    if (tcp) tcp->reply(asker.connection, reply);
    return;
  }
  link.send_udp({asker.guest, asker.asked, asker.address, kDnsPort, asker.port, reply});
}

void DnsService::Parts::arm() {
  timer.follow(forwarder.next_deadline(), clock());
}

void DnsService::Parts::on_timer() {
  forwarder.on_time(clock());
  arm();
}

DnsService::DnsService(const NetworkConfig& config, EventLoop& loop, GuestLink& link,
                       const GuestDirectory& directory, Log& log, std::function<Time()> clock)
    : parts_(std::make_unique<Parts>(
          config, loop, link, directory, log,
          clock ? std::move(clock) : [&loop] { return loop.now(); })) {}

DnsService::~DnsService() = default;

void DnsService::on_datagram(const GuestDatagram& datagram) {
  Parts& parts = *parts_;
  parts.refresh_resolvers(false);
  parts.forwarder.query(
      {0, datagram.guest, datagram.source, datagram.source_port, datagram.destination},
      datagram.payload, parts.clock());
  parts.arm();
}

Result<void> DnsService::reconfigure(const NetworkConfig& config) {
  return parts_->use(config);
}

std::uint16_t DnsService::tcp_port() const {
  return parts_->tcp ? parts_->tcp->port() : std::uint16_t{0};
}

std::uint16_t DnsService::tcp_port6() const {
  return parts_->tcp ? parts_->tcp->port6() : std::uint16_t{0};
}

DnsStatus DnsService::status() const {
  Parts& parts = *parts_;
  parts.refresh_resolvers(false);
  DnsStatus status = parts.forwarder.status();
  status.source = parts.config.dns.upstream.empty() ? parts.file.path() : "configuration";
  status.problem = parts.problem;
  const auto answers = [](const DnsStatus::Resolver& resolver) { return resolver.answers; };
  if (!status.resolvers.empty() &&
      std::none_of(status.resolvers.begin(), status.resolvers.end(), answers)) {
    status.problem = "no resolver answers";
  }
  status.tcp_port = tcp_port();
  status.tcp_port6 = tcp_port6();
  if (parts.tcp) status.counters.connections = parts.tcp->accepted();
  return status;
}

Json to_json(const DnsStatus& status) {
  Json resolvers = Json::array();
  for (const DnsStatus::Resolver& resolver : status.resolvers) {
    resolvers.push_back({{"address", resolver.address},
                         {"answers", resolver.answers},
                         {"queries", resolver.queries},
                         {"replies", resolver.replies},
                         {"timeouts", resolver.timeouts},
                         {"problem", resolver.problem}});
  }
  const DnsCounters& counters = status.counters;
  return {{"source", status.source},
          {"problem", status.problem},
          {"resolvers", std::move(resolvers)},
          {"pending", status.pending},
          {"tcp_port", status.tcp_port},
          {"tcp_port6", status.tcp_port6},
          {"counters",
           {{"queries", counters.queries},
            {"local", counters.local},
            {"forwarded", counters.forwarded},
            {"answered", counters.answered},
            {"failed", counters.failed},
            {"duplicates", counters.duplicates},
            {"malformed", counters.malformed},
            {"refused", counters.refused},
            {"forged", counters.forged},
            {"truncated", counters.truncated},
            {"connections", counters.connections}}}};
}

}  // namespace lanyard
