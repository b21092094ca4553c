// SPDX-License-Identifier: MIT
#include "switch/bridge/guards.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// Of each kind of violation at a port: one event at once, and then one for all within this time.
constexpr Duration kEventEvery = std::chrono::seconds(10);

constexpr MacAddress kBroadcastAddress = MacAddress::from_number(0xffffffffffff);

bool below(MacAddress a, MacAddress b) {
  return a.number() < b.number();
}

// Reasons that are about how much, not about what: a port is not shut for them.
bool is_about_rate(Drop why) {
  return why == Drop::broadcast_storm || why == Drop::multicast_storm ||
         why == Drop::unknown_storm || why == Drop::rate_limit || why == Drop::group_limit;
}

void set_bucket(TokenBucket& bucket, const RateSettings& rate) {
  bucket.set_limits(rate.per_second, burst_of(rate));
}

void set_storm(TokenBucket& bucket, std::uint32_t frames_per_second) {
  bucket.set_limits(frames_per_second, storm_burst_of(frames_per_second));
}

}  // namespace

PortGuard::PortGuard(GuardSettings wanted) : settings(std::move(wanted)) {
  std::sort(settings.macs.begin(), settings.macs.end(), below);
}

// ---- control side ----

Result<void> Guards::set(Port& port, const GuardSettings& wanted) {
  std::shared_ptr<TokenBucket> bucket;
  if (!wanted.bandwidth_group.empty()) {
    const auto found = groups_.find(wanted.bandwidth_group);
    if (found == groups_.end()) {
      return Error{ENXIO, fmt::format("there is no bandwidth group '{}'; make it first",
                                      printable(wanted.bandwidth_group))};
    }
    bucket = found->second.bucket;
  }
  if (wanted == GuardSettings{}) {
    unlist(port);
    port.guard.reset();
    settle_flags();
    return {};
  }
  auto made = std::make_unique<PortGuard>(wanted);
  PortGuard& guard = *made;
  const GuardSettings& s = guard.settings;
  if (port.guard != nullptr) {  // what it has seen and used up is still so
    if (s.sticky) guard.stuck = std::move(port.guard->stuck);
    if (guard.stuck.size() > s.max_macs) guard.stuck.clear();
    guard.in = port.guard->in;
    guard.out = port.guard->out;
    guard.broadcast = port.guard->broadcast;
    guard.multicast = port.guard->multicast;
    guard.unknown = port.guard->unknown;
    guard.told = port.guard->told;
  }
  set_bucket(guard.in, s.rate_in);
  set_bucket(guard.out, s.rate_out);
  set_storm(guard.broadcast, s.broadcast_pps);
  set_storm(guard.multicast, s.multicast_pps);
  set_storm(guard.unknown, s.unknown_pps);
  guard.group = std::move(bucket);
  port.guard = std::move(made);
  list(port);
  return {};
}

GuardSettings Guards::of(const Port& port) {
  return port.guard != nullptr ? port.guard->settings : GuardSettings{};
}

// Notes the port in the lists that forwarding reads.
void Guards::list(Port& port) {
  unlist(port);
  const GuardSettings& s = port.guard->settings;
  guarded_.push_back(&port);
  if (s.trusted) trusted_.add(port.id());
  if (s.isolated && !s.trusted) isolated_.add(port.id());
  if (s.promiscuous != PromiscuousPolicy::deny) {
    const Listener listener{port.id(), s.promiscuous == PromiscuousPolicy::allow_all};
    listeners_.insert(std::find_if(listeners_.begin(), listeners_.end(),
                                   [&](const Listener& l) { return l.id > listener.id; }),
                      listener);
  }
  settle_flags();
}

void Guards::unlist(const Port& port) {
  std::erase(guarded_, &port);
  trusted_.remove(port.id());
  isolated_.remove(port.id());
  std::erase_if(listeners_, [&](const Listener& listener) { return listener.id == port.id(); });
}

// What is to be looked at: servers are overheard only while somebody needs to know what they say.
void Guards::settle_flags() {
  uses_bindings_ = std::any_of(guarded_.begin(), guarded_.end(), [](const Port* port) {
    const GuardSettings& s = port->guard->settings;
    return s.ip_source_guard || s.arp_inspection;
  });
  for (const Port* port : guarded_) {
    PortGuard& guard = *port->guard;
    const GuardSettings& s = guard.settings;
    guard.every_frame =
        guard.in.limits() || guard.group != nullptr ||
        (!s.trusted && (!s.macs.empty() || s.sticky || s.ip_source_guard || s.arp_inspection));
    guard.inspects = uses_bindings_ ||
                     (!s.trusted && (s.dhcp_guard || s.dhcpv6_guard || s.ra_guard || s.bpdu_guard));
  }
}

void Guards::forget_port(Port& port) {
  unlist(port);
  bindings_.forget_port(port.id());
  settle_flags();
}

void Guards::forget_guest(Port& port) {
  if (port.guard != nullptr) port.guard->stuck.clear();
  bindings_.forget_port(port.id());
}

Result<void> Guards::set_group(const BandwidthGroup& group) {
  if (group.name.empty()) return Error{EINVAL, "a bandwidth group needs a name"};
  Group& known = groups_[group.name];
  known.rate = group.rate;
  if (known.bucket == nullptr) known.bucket = std::make_shared<TokenBucket>();
  set_bucket(*known.bucket, group.rate);
  return {};
}

Result<void> Guards::remove_group(std::string_view name) {
  const auto found = groups_.find(name);
  if (found == groups_.end()) {
    return Error{ENXIO, fmt::format("there is no bandwidth group '{}'", printable(name))};
  }
  if (found->second.bucket.use_count() > 1) {
    return Error{EADDRINUSE, fmt::format("bandwidth group '{}' has ports; take them out first",
                                         printable(name))};
  }
  groups_.erase(found);
  return {};
}

std::vector<BandwidthGroup> Guards::groups() const {
  std::vector<BandwidthGroup> all;
  for (const auto& [name, group] : groups_) all.push_back({name, group.rate});
  return all;
}

// ---- data side ----

// Cheap things first: what is too much is not worth a look.
Drop Guards::check_closely(Port& in, const Frame& frame, Time now) {
  PortGuard& guard = *in.guard;
  const MacAddress source = EthernetView(frame.head()).source();
  if (!guard.in.take(frame.size, now)) {
    return violation(in, Drop::rate_limit, source, frame.vlan, now);
  }
  if (guard.group != nullptr && !guard.group->take(frame.size, now)) {
    return violation(in, Drop::group_limit, source, frame.vlan, now);
  }
  Drop why = guard.settings.trusted ? Drop::none : check_source(in, source);
  if (why == Drop::none && guard.inspects) why = inspect(in, frame, now);
  return why == Drop::none ? why : violation(in, why, source, frame.vlan, now);
}

Drop Guards::check_source(Port& in, MacAddress source) {
  PortGuard& guard = *in.guard;
  const std::vector<MacAddress>& macs = guard.settings.macs;
  if (std::binary_search(macs.begin(), macs.end(), source, below)) return Drop::none;
  if (!guard.settings.sticky) return macs.empty() ? Drop::none : Drop::mac_spoofed;
  const auto at = std::lower_bound(guard.stuck.begin(), guard.stuck.end(), source, below);
  if (at != guard.stuck.end() && *at == source) return Drop::none;
  // A group address as source is nobody's first address.
  if (guard.stuck.size() >= guard.settings.max_macs || source.is_group()) return Drop::mac_spoofed;
  guard.stuck.insert(at, source);
  return Drop::none;
}

Drop Guards::may_learn(Port& in, MacAddress source, VlanId vlan, Time now) {
  const GuardSettings& settings = in.guard->settings;
  if (settings.max_macs == 0 || settings.trusted) return Drop::none;
  if (macs_.size_of(in.id()) < settings.max_macs) return Drop::none;
  return violation(in, Drop::mac_limit, source, vlan, now);
}

Drop Guards::storm(Port& in, const Frame& frame, Time now) {
  PortGuard& guard = *in.guard;
  const EthernetView ethernet(frame.head());
  const MacAddress destination = ethernet.destination();
  Drop why = Drop::unknown_storm;
  TokenBucket* bucket = &guard.unknown;
  if (destination == kBroadcastAddress) {
    why = Drop::broadcast_storm;
    bucket = &guard.broadcast;
  } else if (destination.is_group()) {
    why = Drop::multicast_storm;
    bucket = &guard.multicast;
  }
  if (bucket->take(1, now)) return Drop::none;
  return violation(in, why, ethernet.source(), frame.vlan, now);
}

Drop Guards::violation(Port& in, Drop why, MacAddress source, VlanId vlan, Time now) {
  PortGuard& guard = *in.guard;
  const bool shut = why == Drop::guarded_bpdu ||
                    (guard.settings.on_violation == ViolationAction::shut && !is_about_rate(why));
  Event event;
  event.mac = source;
  event.vlan = vlan;
  if (!guard.shut_wanted) tell(in, why, 1, shut, event, now);
  guard.shut_wanted = guard.shut_wanted || shut;
  return why;
}

void Guards::tell_limited(Port& out, std::size_t frames, Time now) {
  tell(out, Drop::rate_limit_out, frames, false, {}, now);
}

// Of a flood of violations the first is told at once, and what follows every now and then.
void Guards::tell(Port& port, Drop why, std::uint64_t frames, bool shut, Event event, Time now) {
  PortGuard::Told& told = port.guard->told[static_cast<std::size_t>(why)];
  told.untold += frames;
  if (told.at != Time::min() && now - told.at < kEventEvery && !shut) return;
  event.kind = shut ? Event::Kind::guard_shut : Event::Kind::guard_dropped;
  event.port = port.id();
  event.why = why;
  event.count = std::exchange(told.untold, 0);
  told.at = now;
  events_.on_event(event);
}

}  // namespace lanyard
