// SPDX-License-Identifier: MIT
#include "backend/gateway/gateway.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

constexpr Duration kNeighbourAgeing = std::chrono::minutes(1);

Error cannot_change(std::string_view what) {
  return {EINVAL, fmt::format("{} cannot change while guests are connected; take the network down "
                              "and up again",
                              what)};
}

// What every guest has been told, or knows us by.
Result<void> check_unchanged(const NetworkConfig& from, const NetworkConfig& to) {
  if (from.name != to.name) return cannot_change("the name");
  if (from.kind != to.kind) return cannot_change("the kind");
  if (from.subnet != to.subnet) return cannot_change("the subnet");
  if (from.subnet6 != to.subnet6) return cannot_change("the IPv6 subnet");
  if (from.router != to.router || from.router6 != to.router6) {
    return cannot_change("the router's address");
  }
  if (from.mtu != to.mtu) return cannot_change("the MTU");
  if (gateway_mac(from) != gateway_mac(to)) return cannot_change("the gateway's first address");
  return {};
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos && name[0] != '.';
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::create(const NetworkConfig& config, Context context) {
  std::unique_ptr<Gateway> gateway(new Gateway(config, std::move(context)));
  if (Result<void> started = gateway->start(); !started) return started.error();
  return gateway;
}

Gateway::Gateway(const NetworkConfig& config, Context context)
    : context_(std::move(context)),
      config_(config),
      link_(context_.channel, gateway_mac(config)),
      responder_(link_, neighbours_, context_.log),
      directory_(neighbours_),
      deadline_timer_(context_.loop, [this] { on_deadline(); }) {}

Gateway::~Gateway() = default;

Result<void> Gateway::start() {
  apply(config_);
  // Also for a DHCP server that a reload will bring: then the sandbox lets nobody make it.
  const std::string& directory = context_.state_directory;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    context_.log.warning("{}: {}; leases will not outlive this process", directory,
                         std::strerror(errno));
  }
  if (Result<void> done = start_dhcp(); !done) return done;
  start_dns();
  if (config_.kind == NetworkKind::nat) {
    Result<Policy> policy = Policy::create(config_);
    if (!policy) return policy.error();
    policy_ = policy.take();
    Result<std::unique_ptr<Nat>> nat = Nat::create(
        config_,
        {context_.loop, link_, directory_, context_.log, Nat::Patience{}, context_.path_listeners});
    if (!nat) return nat.error();
    nat_ = nat.take();
    if (dns_) nat_->set_dns_tcp_ports(dns_->tcp_port(), dns_->tcp_port6());
    pings_ = std::make_unique<PingRelay>(
        context_.loop, link_, context_.log,
        [this](const IpAddress&, const IpAddress& target) { return may_ping(target); });
    pings_->set_network(config_);
    advertiser_ = std::make_unique<RouterAdvertiser>(
        config_, mac(), link_, [this] { return static_cast<std::uint32_t>(random_()); },
        context_.loop.now());
  }
  ageing_ = context_.loop.every(kNeighbourAgeing, [this] {
    neighbours_.age(context_.loop.now());
    reassembler_.expire(context_.loop.now());
  });
  return {};
}

// The values that parts keep a view or a copy of.
void Gateway::apply(const NetworkConfig& config) {
  config_ = config;
  link_.set_mtu(config_.mtu);
  neighbours_.set_network(config_);
  responder_.set_network(config_);
  directory_.set_hosts(config_.hosts);
}

Result<void> Gateway::start_dhcp() {
  if (!config_.dhcp.enabled) return {};
  const std::string& directory = context_.state_directory;
  if (!is_file_name(config_.name)) {
    return Error{EINVAL, fmt::format("'{}' is no name for a network", printable(config_.name))};
  }
  lease_file_ = std::make_unique<LeaseFile>(fmt::format("{}/{}.leases", directory, config_.name),
                                            context_.log);
  DhcpServer::Callbacks callbacks;
  callbacks.on_event = [this](const LeaseEvent& event) { on_lease_event(event); };
  dhcp_ = std::make_unique<DhcpServer>(config_, mac(), link_, *lease_file_, context_.log,
                                       std::move(callbacks), context_.loop.now());
  directory_.set_dhcp(dhcp_.get());
  tftp_ = std::make_unique<TftpServer>(config_, link_, context_.log);
  return {};
}

void Gateway::start_dns() {
  if (!config_.dns.enabled) return;
  dns_ = std::make_unique<DnsService>(config_, context_.loop, link_, directory_, context_.log);
}

bool Gateway::may_ping(const IpAddress& target) const {
  return policy_ && !policy_->refusal(target, 0);
}

Result<void> Gateway::reconfigure(const NetworkConfig& config) {
  if (Result<void> same = check_unchanged(config_, config); !same) return same;
  std::optional<Policy> policy;
  if (config.kind == NetworkKind::nat) {
    Result<Policy> made = Policy::create(config);
    if (!made) return made.error();
    policy = made.take();
  }
  if (nat_) {
    if (Result<void> done = nat_->reconfigure(config); !done) return done;
  }
  if (Result<void> done = reconfigure_services(config); !done) {
    if (nat_) (void)nat_->reconfigure(config_).ok();
    return done;
  }
  policy_ = std::move(policy);
  apply(config);
  if (dns_ && !config.dns.enabled) dns_.reset();
  if (!dns_) start_dns();
  if (dhcp_ && !config.dhcp.enabled) {
    directory_.set_dhcp(nullptr);
    dhcp_.reset();
    tftp_.reset();
  }
  if (!dhcp_) {
    if (Result<void> done = start_dhcp(); !done) return done;
  }
  if (nat_) {
    nat_->set_dns_tcp_ports(dns_ ? dns_->tcp_port() : std::uint16_t{0},
                            dns_ ? dns_->tcp_port6() : std::uint16_t{0});
    nat_->guests_changed();
  }
  if (pings_) pings_->set_network(config_);
  if (advertiser_) advertiser_->reconfigure(config_, context_.loop.now());
  return {};
}

// Those that run and go on; the first that refuses leaves the others as they were.
Result<void> Gateway::reconfigure_services(const NetworkConfig& config) {
  const Time now = context_.loop.now();
  if (dhcp_ && config.dhcp.enabled) {
    if (Result<void> done = dhcp_->reconfigure(config, now); !done) return done;
    // A root that is not there is no reason to refuse everything else.
    if (Result<void> done = tftp_->reconfigure(config); !done) {
      context_.log.warning("{}", done.error().text);
    }
  }
  if (dns_ && config.dns.enabled) {
    if (Result<void> done = dns_->reconfigure(config); !done) {
      if (dhcp_) (void)dhcp_->reconfigure(config_, now).ok();
      return done;
    }
  }
  return {};
}

void Gateway::on_room() {
  if (nat_) nat_->resume();
}

void Gateway::end_of_turn() {
  context_.channel.flush();
  set_deadline();
}

void Gateway::set_deadline() {
  Time nearest = Time::max();
  const auto consider = [&nearest](std::optional<Time> deadline) {
    nearest = std::min(nearest, deadline.value_or(Time::max()));
  };
  if (dhcp_) consider(dhcp_->next_deadline());
  if (tftp_) consider(tftp_->next_deadline());
  if (advertiser_) consider(advertiser_->next_deadline());
  deadline_timer_.follow(nearest, context_.loop.now());
}

void Gateway::on_deadline() {
  const Time now = context_.loop.now();
  if (dhcp_) dhcp_->on_time(now);
  if (tftp_) tftp_->on_time(now);
  if (advertiser_) advertiser_->on_time(now);
  set_deadline();
}

void Gateway::shut_down() {
  if (advertiser_) advertiser_->shut_down();
  context_.channel.flush();
}

void Gateway::on_lease_event(const LeaseEvent& event) {
  if (nat_) nat_->guests_changed();
  Json fields = to_json(event.lease);
  fields["reason"] = event.reason;
  context_.event(event.kind, std::move(fields));
}

}  // namespace lanyard
