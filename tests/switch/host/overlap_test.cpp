// SPDX-License-Identifier: MIT
#include "switch/host/overlap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

NetworkConfig host_only() {
  NetworkConfig network;
  network.name = "lab";
  network.kind = NetworkKind::host_only;
  network.subnet = Ipv4Prefix::parse("192.168.56.0/24");
  network.host = HostInterfaceConfig{};
  network.host->name = "lanyard0";
  network.host->address = Ipv4Prefix::parse("192.168.56.1/24");
  return network;
}

HostRange range(std::string_view address, unsigned length, std::string interface,
                bool is_route = true, std::string alias = {}) {
  return {*IpAddress::parse(address), length, std::move(interface), std::move(alias), is_route};
}

constexpr long kPid = 100;

TEST(Overlap, NamesTheCulprit) {
  EXPECT_THAT(overlaps(host_only(), {range("192.168.48.0", 20, "vboxnet0")}, kPid),
              ElementsAre("192.168.56.0/24 overlaps route 192.168.48.0/20 dev vboxnet0"));
  EXPECT_THAT(overlaps(host_only(), {range("192.168.56.9", 32, "tun0", false)}, kPid),
              ElementsAre("192.168.56.0/24 overlaps address 192.168.56.9/32 dev tun0"));
}

TEST(Overlap, WhatIsInNobodysWay) {
  const HostRange harmless[] = {
      range("0.0.0.0", 0, "eth0"),                   // default
      range("192.168.57.0", 24, "eth0"),             // beside it
      range("169.254.0.0", 16, "eth0"),              // link-local
      range("224.0.0.0", 4, "eth0"),                 // multicast
      range("fd00::", 8, "eth0"),                    // the other family
      range("192.168.56.1", 24, "lanyard0", false),  // its own interface
      range("192.168.56.0", 24, "lanyard7", true, "lanyard network other pid 100"),  // of us
  };
  for (const HostRange& one : harmless) {
    EXPECT_THAT(overlaps(host_only(), {one}, kPid), IsEmpty()) << one.address.text();
  }
}

TEST(Overlap, AnotherDaemonsNetworkCounts) {
  EXPECT_THAT(
      overlaps(host_only(),
               {range("192.168.56.1", 24, "lanyard7", false, "lanyard network other pid 101")},
               kPid),
      ElementsAre("192.168.56.0/24 overlaps address 192.168.56.1/24 dev lanyard7"));
}

TEST(Overlap, Ipv6) {
  NetworkConfig network = host_only();
  network.subnet6 = Ipv6Prefix::parse("fd17:625c:f037:2::/64");
  EXPECT_THAT(overlaps(network, {range("fd17:625c:f037::", 48, "wg0")}, kPid),
              ElementsAre("fd17:625c:f037:2::/64 overlaps route fd17:625c:f037::/48 dev wg0"));
  EXPECT_THAT(overlaps(network, {range("fe80::", 64, "eth0")}, kPid), IsEmpty());
}

TEST(Overlap, TheHostsAddressStandsForAMissingSubnet) {
  NetworkConfig network = host_only();
  network.subnet.reset();
  EXPECT_THAT(overlaps(network, {range("192.168.56.128", 25, "br0")}, kPid),
              ElementsAre("192.168.56.0/24 overlaps route 192.168.56.128/25 dev br0"));
}

}  // namespace
}  // namespace lanyard
