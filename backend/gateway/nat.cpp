// SPDX-License-Identifier: MIT
//
// NatTranslator: beginning, configuration, and what can be asked.
#include "backend/gateway/nat.h"

#include <netinet/in.h>
#include <slirp/libslirp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/gateway/nat_translator.h"
#include "backend/gateway/process.h"
#include "switch/base/text.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

constexpr Duration kSweepPeriodMax = std::chrono::seconds(10);
constexpr Duration kRetryPause = std::chrono::milliseconds(100);
constexpr Duration kSweepPeriodMin = std::chrono::milliseconds(250);

union AnySocketName {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un path;
};

std::size_t socket_name(const IpAddress& address, std::uint16_t port, AnySocketName& name) {
  std::memset(&name, 0, sizeof name);
  if (address.is_v4()) {
    name.v4.sin_family = AF_INET;
    name.v4.sin_port = htons(port);
    name.v4.sin_addr.s_addr = htonl(address.v4().number());
    return sizeof name.v4;
  }
  name.v6.sin6_family = AF_INET6;
  name.v6.sin6_port = htons(port);
  std::copy(address.v6().bytes().begin(), address.v6().bytes().end(), name.v6.sin6_addr.s6_addr);
  return sizeof name.v6;
}

std::size_t host_name(const ForwardConfig& forward, std::uint16_t port, AnySocketName& name) {
  if (forward.unix_path.empty()) {
    return socket_name(forward.host_address, static_cast<std::uint16_t>(forward.host_port + port),
                       name);
  }
  std::memset(&name, 0, sizeof name);
  name.path.sun_family = AF_UNIX;
  forward.unix_path.copy(name.path.sun_path, sizeof name.path.sun_path - 1);
  return sizeof name.path;
}

int forward_flags(const ForwardConfig& forward) {
  // So that an IPv4 forward of the same port is another one.
  return forward.unix_path.empty() && forward.host_address.is_v6() ? SLIRP_HOSTFWD_V6ONLY : 0;
}

std::string socket_text(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (fd < 0 || ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return {};
  if (name.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &name, sizeof in);
    return fmt::format("{}:{}", Ipv4Address::from_number(ntohl(in.sin_addr.s_addr)).text(),
                       ntohs(in.sin_port));
  }
  if (name.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &name, sizeof in);
    Ipv6Address::Bytes octets{};
    std::copy_n(in.sin6_addr.s6_addr, octets.size(), octets.begin());
    return fmt::format("[{}]:{}", Ipv6Address(octets).text(), ntohs(in.sin6_port));
  }
  return {};
}

// What a running engine cannot change.
bool same_network(const NetworkConfig& a, const NetworkConfig& b) {
  return a.subnet == b.subnet && a.subnet6 == b.subnet6 && a.router == b.router &&
         a.router6 == b.router6 && a.dns_address == b.dns_address &&
         a.dns_address6 == b.dns_address6;
}

}  // namespace

Result<std::unique_ptr<Nat>> Nat::create(const NetworkConfig& config, Context context) {
  return NatTranslator::create(config, context);
}

Result<std::unique_ptr<Nat>> NatTranslator::create(const NetworkConfig& config, Context context) {
  auto policy = Policy::create(config);
  if (!policy) return policy.error();
  std::unique_ptr<NatTranslator> self(new NatTranslator(config, context, policy.take()));
  if (auto started = self->start(); !started) return started.error();
  return std::unique_ptr<Nat>(std::move(self));
}

NatTranslator::NatTranslator(const NetworkConfig& config, Context context, Policy policy)
    : config_(config),
      context_(context),
      sanitiser_(config.subnet, config.subnet6, counters_),
      coalescer_(*this, counters_),
      policy_(std::move(policy)),
      quota_(config.policy.flows_max, config.policy.new_flows_per_s),
      output_(context.link, config.mtu, counters_),
      forwards_(*this, context.directory),
      direct_(context.loop, output_, counters_, *this) {
  const std::uint32_t router = config.router ? config.router->number() : 0;
  router_mac_ = MacAddress::from_number(std::uint64_t{0x5255} << 32 | router);
  forwards_.set_network(config.subnet, config.subnet6);
}

NatTranslator::~NatTranslator() {
  forwards_.close_all();
  engine_.reset();  // while what it calls back into is there
}

Result<void> NatTranslator::start() {
  auto udp = UdpRelay::create(context_.loop, *this, output_, counters_);
  if (!udp) return udp.error();
  udp_ = udp.take();
  udp_->set_network(config_);
  auto engine = SlirpEngine::create(config_, context_.loop, context_.log, *this);
  if (!engine) return engine.error();
  engine_ = engine.take();
  auto watch = watch_host_addresses(policy_);
  if (!watch) return watch.error();
  host_watch_ = watch.take();
  for (const ForwardConfig& forward : config_.forwards) forwards_.add_wanted(forward);
  for (const ForwardStatus& row : forwards_.status()) {
    if (!row.problem.empty()) context_.log.warning("forward {}: {}", row.config.name, row.problem);
  }
  const Duration shortest = std::min(context_.patience.established, context_.patience.transitory);
  retry_ = context_.loop.prepare([this] { retry_forwards(); });
  look_after_forwards();
  sweep_ = context_.loop.every(std::clamp(shortest / 4, kSweepPeriodMin, kSweepPeriodMax),
                               [this] { sweep(); });
  return {};
}

// Nothing when its answers do not matter.
Result<std::unique_ptr<HostAddressWatch>> NatTranslator::watch_host_addresses(
    const Policy& policy) {
  if (!policy.needs_host_addresses()) return std::unique_ptr<HostAddressWatch>();
  return HostAddressWatch::create(context_.loop, [this](std::vector<IpAddress> addresses) {
    policy_.set_host_addresses(std::move(addresses));
  });
}

// First everything that can fail.
Result<void> NatTranslator::reconfigure(const NetworkConfig& config) {
  if (!same_network(config, config_)) {
    return Error{EBUSY, fmt::format("network {}: its subnet and the addresses of its router and "
                                    "DNS cannot change while it runs; restart it",
                                    config_.name)};
  }
  auto policy = Policy::create(config);
  if (!policy) return policy.error();
  auto watch = watch_host_addresses(policy.value());
  if (!watch) return watch.error();
  if (auto set = engine_->set_outbound(config.outbound_address, config.outbound_address6); !set) {
    return set;
  }
  const std::vector<ForwardConfig> before = config_.forwards;
  config_ = config;
  policy_ = policy.take();
  if (policy_.needs_host_addresses()) policy_.set_host_addresses(host_addresses());
  host_watch_ = watch.take();
  quota_.set_limits(config.policy.flows_max, config.policy.new_flows_per_s);
  output_.set_mtu(config.mtu);
  udp_->set_network(config);
  forwards_.reconfigure(before, config.forwards);
  look_after_forwards();
  return {};
}

Result<void> NatTranslator::add_forward(const ForwardConfig& forward) {
  if (auto added = forwards_.add(forward); !added) return added;
  // From now on it is as one of the configuration: a later one without it ends it.
  config_.forwards.push_back(forward);
  return {};
}

Result<void> NatTranslator::remove_forward(std::string_view name) {
  if (auto removed = forwards_.remove(name); !removed) return removed;
  std::erase_if(config_.forwards,
                [&](const ForwardConfig& forward) { return forward.name == name; });
  return {};
}

std::vector<ForwardStatus> NatTranslator::forwards() const {
  auto rows = forwards_.status();
  const auto count = [&](std::string_view forward) {
    if (forward.empty()) return;
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const ForwardStatus& status) {
      return status.config.name == forward;
    });
    if (row != rows.end()) ++row->flows;
  };
  flows_.for_each([&](const FlowEntry& flow) { count(flow.forward); });
  udp_->table().for_each([&](const UdpFlow& flow) { count(flow.forward()); });
  return rows;
}

std::vector<Flow> NatTranslator::flows() const {
  std::vector<Flow> rows = udp_->flows();
  rows.reserve(rows.size() + flows_.size());
  flows_.for_each([&](const FlowEntry& flow) {
    Flow row;
    row.transport = "tcp";
    row.guest = address_of(flow.key.guest);
    row.guest_port = flow.key.guest_port;
    row.host = socket_text(flow.fd);
    row.target = address_of(flow.key.target);
    row.target_port = flow.key.target_port;
    row.state = flow.state();
    row.engine = engine_text(flow.direct != 0 ? TcpEngineKind::direct : TcpEngineKind::libslirp);
    row.bytes_out = flow.bytes_out;
    row.bytes_in = flow.bytes_in;
    row.forward = flow.forward;
    rows.push_back(std::move(row));
  });
  const auto order = [](const Flow& f) {
    return std::tie(f.guest, f.transport, f.guest_port, f.target, f.target_port);
  };
  std::sort(rows.begin(), rows.end(),
            [&](const Flow& a, const Flow& b) { return order(a) < order(b); });
  return rows;
}

void NatTranslator::resume() {
  output_.resume();
  direct_.resume();
  engine_->set_paused(output_.congested());
  udp_->resume();
}

void NatTranslator::set_dns_tcp_ports(std::uint16_t loopback4, std::uint16_t loopback6) {
  dns_port4_ = loopback4;
  dns_port6_ = loopback6;
}

void NatTranslator::guests_changed() {
  context_.loop.run([this] { forwards_.guests_changed(); });
  look_after_forwards();
}

void NatTranslator::retry_forwards() {
  context_.loop.run([this] { forwards_.try_again(); });
  look_after_forwards();
}

void NatTranslator::look_after_forwards() {
  if (forwards_.wants_retry()) retry_.hurry(kRetryPause);
}

std::vector<std::pair<std::string, std::uint64_t>> NatTranslator::counters() const {
  std::vector<std::pair<std::string, std::uint64_t>> rows;
  for (std::size_t i = 0; i < kNatEventNames.size(); ++i) {
    rows.emplace_back(kNatEventNames[i], counters_[static_cast<NatEvent>(i)]);
  }
  return rows;
}

void NatTranslator::sweep() {
  const Time now = context_.loop.now();
  flows_.expire(now, [this](const FlowEntry& flow) { flow_gone(flow); });
  end_idle_connections(now);
  udp_->expire(now);
  quota_.expire(now);
  if (flow_count() < flows_swept_) trim_heap();
  flows_swept_ = flow_count();
  // A switch that never said it has room again must not stop us for ever.
  resume();
}

int NatTranslator::listen(const ForwardConfig& forward, std::uint16_t port,
                          const IpAddress& guest) {
  if (forward.transport == Transport::udp) return udp_->listen(forward, port, guest);
  AnySocketName host{};
  AnySocketName to{};
  const std::size_t host_size = host_name(forward, port, host);
  const std::size_t guest_size =
      socket_name(guest, static_cast<std::uint16_t>(forward.guest_port + port), to);
  if (forward.unix_path.empty()) {
    return engine_->add_forward(&host.any, host_size, &to.any, guest_size, forward_flags(forward));
  }
  if (context_.path_listeners == nullptr) return ENOTSUP;
  Result<UniqueFd> listener = context_.path_listeners->listen(forward.unix_path);
  if (!listener) return listener.error().code;
  const int code = engine_->add_forward(listener.take(), &to.any, guest_size);
  if (code != 0) context_.path_listeners->unlisten(forward.unix_path);
  return code;
}

void NatTranslator::unlisten(const ForwardConfig& forward, std::uint16_t port) {
  if (forward.transport == Transport::udp) {
    if (udp_) udp_->unlisten(forward, port);
    return;
  }
  if (!engine_) return;
  AnySocketName host{};
  const std::size_t size = host_name(forward, port, host);
  engine_->remove_forward(&host.any, size, forward_flags(forward));
  if (!forward.unix_path.empty() && context_.path_listeners != nullptr) {
    context_.path_listeners->unlisten(forward.unix_path);
  }
}

}  // namespace lanyard
