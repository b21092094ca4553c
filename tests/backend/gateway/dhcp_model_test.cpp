// SPDX-License-Identifier: MIT
//
// A hundred thousand random doings of clients, honest and not, against what anybody could write
// down beside the wire: who was told that an address is his, and until when. However it goes, no
// address belongs to two, none is outside the ranges, and nobody gets what a machine without DHCP
// uses.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/dhcp_world.h"
#include "tests/support/random.h"

namespace lanyard {
namespace {

using testing::DhcpWorld;
using testing::environment_number;
using testing::ip;
using testing::mac_number;
using testing::nat_network;
using testing::Say;

constexpr std::uint64_t kClients = 60;
constexpr std::uint32_t kLeaseTime_s = 3600;

NetworkConfig crowded() {
  NetworkConfig config = nat_network();
  config.dhcp.ranges = {{ip("10.0.2.15"), ip("10.0.2.40")}, {ip("10.0.2.60"), ip("10.0.2.75")}};
  config.dhcp.lease_time_s = kLeaseTime_s;
  HostConfig host;
  host.name = "reserved";
  host.mac = mac_number(3);
  host.address = ip("10.0.2.20");
  config.hosts = {host};
  return config;
}

class Crowd {
 public:
  Crowd() {
    world_.after_waking = [this] { answer_probes(); };
  }
  void step() {
    const std::uint64_t n = random_.below(kClients);
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2: say(n, DhcpType::discover); break;
      case 3:
      case 4: select(n); break;
      case 5: renew(n); break;
      case 6: reboot(n); break;
      case 7: give_back(n); break;
      case 8: lie(n); break;
      case 9: world_.pass(std::chrono::milliseconds(random_.below(200))); break;
      case 10: world_.pass(std::chrono::seconds(random_.below(kLeaseTime_s / 8))); break;
      default: rare(); break;
    }
    answer_probes();
    hear();
  }
  std::string how_to_repeat() const { return random_.how_to_repeat(); }
  std::size_t grants() const { return grants_; }

 private:
  struct Held {
    MacAddress by;
    Time until;
  };

  Say from(std::uint64_t n, DhcpType type) {
    Say say;
    say.type = type;
    say.mac = mac_number(n);
    if (n % 3 == 0) say.client_id = "client " + std::to_string(n);
    if (n % 4 == 0) say.host_name = "name" + std::to_string(n % 8);
    return say;
  }
  void say(std::uint64_t n, DhcpType type) {
    Say s = from(n, type);
    if (random_.one_in(3)) s.requested = any_address();
    world_.send(s);
  }
  Ipv4Address any_address() {
    return Ipv4Address::from_number(ip("10.0.2.0").number() +
                                    static_cast<std::uint32_t>(random_.below(90)));
  }
  void select(std::uint64_t n) {
    const auto offer = offers_.find(mac_number(n).number());
    if (offer == offers_.end()) return;
    Say s = from(n, DhcpType::request);
    s.requested = offer->second;
    s.server = random_.one_in(8) ? ip("10.0.2.9") : ip("10.0.2.2");
    world_.send(s);
  }
  std::optional<Ipv4Address> held_by(std::uint64_t n) const {
    for (const auto& [address, held] : held_) {
      if (held.by == mac_number(n) && held.until > world_.now) return address;
    }
    return std::nullopt;
  }
  void renew(std::uint64_t n) {
    const auto address = held_by(n);
    if (!address) return;
    Say s = from(n, DhcpType::request);
    s.ciaddr = *address;
    world_.send(s);
  }
  void reboot(std::uint64_t n) {
    Say s = from(n, DhcpType::request);
    s.requested = held_by(n).value_or(any_address());
    world_.send(s);
  }
  void give_back(std::uint64_t n) {
    const auto address = held_by(n);
    if (!address) return;
    const bool declines = random_.one_in(6);
    Say s = from(n, declines ? DhcpType::decline : DhcpType::release);
    s.server = ip("10.0.2.2");
    (declines ? s.requested.emplace() : s.ciaddr) = *address;
    world_.send(s);
    held_.erase(*address);
  }
  // About addresses that are not its own.
  void lie(std::uint64_t n) {
    const Ipv4Address address = any_address();
    const auto at = held_.find(address);
    if (at != held_.end() && at->second.by == mac_number(n)) return;
    Say s = from(n, random_.one_in(2) ? DhcpType::decline : DhcpType::release);
    s.server = ip("10.0.2.2");
    s.requested = s.ciaddr = address;
    world_.send(s);
  }
  void rare() {
    if (random_.one_in(20)) world_.start();  // from what was stored
    if (random_.one_in(40)) world_.wall_s += 86400;
    if (random_.one_in(50)) world_.pass(std::chrono::seconds(2 * kLeaseTime_s));
  }
  // Machines without DHCP, and clients at addresses that are theirs.
  void answer_probes() {
    while (!world_.link.probes.empty()) {
      const Ipv4Address address = world_.link.probes.back();
      world_.link.probes.pop_back();
      if (statics_.contains(address)) {
        world_.server->on_arp(address, mac_number(0x9999), world_.now);
      } else if (held_.contains(address) && held_.at(address).until > world_.now) {
        world_.server->on_arp(address, held_.at(address).by, world_.now);
      }
    }
  }
  void hear() {
    for (const auto& answer : world_.answers()) {
      const DhcpMessage& m = answer.message;
      if (m.type == DhcpType::offer) offers_[m.chaddr.number()] = m.yiaddr;
      if (m.type == DhcpType::nak) forget_all_of(m.chaddr);
      if (m.type != DhcpType::ack) continue;
      ++grants_;
      const auto at = held_.find(m.yiaddr);
      if (at != held_.end() && at->second.until > world_.now) {
        ASSERT_EQ(at->second.by, m.chaddr) << m.yiaddr.text() << " belongs to two";
      }
      ASSERT_FALSE(statics_.contains(m.yiaddr)) << m.yiaddr.text() << " is a machine's own";
      const bool reserved = m.yiaddr == ip("10.0.2.20");
      ASSERT_EQ(reserved && m.chaddr != mac_number(3), false);
      ASSERT_TRUE(config_.dhcp.ranges[0].contains(m.yiaddr) ||
                  config_.dhcp.ranges[1].contains(m.yiaddr))
          << m.yiaddr.text();
      forget_all_of(m.chaddr);
      held_[m.yiaddr] = {m.chaddr, world_.now + std::chrono::seconds(*m.number(51))};
    }
    std::set<std::string> names;
    for (const Lease& lease : world_.server->leases(world_.now)) {
      if (lease.state != LeaseState::bound || lease.name.empty()) continue;
      ASSERT_TRUE(names.insert(lease.name).second) << lease.name << " is two";
    }
  }
  void forget_all_of(MacAddress mac) {
    std::erase_if(held_, [&](const auto& entry) { return entry.second.by == mac; });
  }

  NetworkConfig config_ = crowded();
  testing::Random random_;
  DhcpWorld world_{config_};
  std::set<Ipv4Address> statics_{ip("10.0.2.17"), ip("10.0.2.62"), ip("10.0.2.30")};
  std::map<Ipv4Address, Held> held_;
  std::map<std::uint64_t, Ipv4Address> offers_;
  std::size_t grants_ = 0;
};

TEST(DhcpModel, NoAddressBelongsToTwo) {
  Crowd crowd;
  SCOPED_TRACE(crowd.how_to_repeat());
  const std::uint64_t steps = environment_number("LANYARD_DHCP_STEPS", 100'000);
  for (std::uint64_t i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) crowd.step();
  EXPECT_GT(crowd.grants(), steps / 100);
}

}  // namespace
}  // namespace lanyard
