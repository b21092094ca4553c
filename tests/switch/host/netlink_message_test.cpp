// SPDX-License-Identifier: MIT
#include "switch/host/netlink_message.h"

#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <typename T>
void put(Bytes& to, const T& value) {
  const auto* const from = reinterpret_cast<const std::uint8_t*>(&value);
  to.insert(to.end(), from, from + sizeof value);
}

void attribute(Bytes& to, std::uint16_t type, const Bytes& value) {
  const std::uint16_t length = static_cast<std::uint16_t>(4 + value.size());
  put(to, length);
  put(to, type);
  to.insert(to.end(), value.begin(), value.end());
  while (to.size() % 4 != 0) to.push_back(0);
}

Bytes text(std::string_view value) {
  Bytes bytes(value.begin(), value.end());
  bytes.push_back(0);
  return bytes;
}

Bytes link_bytes() {
  Bytes bytes;
  ifinfomsg head{};
  head.ifi_index = 7;
  head.ifi_flags = IFF_UP;
  put(bytes, head);
  attribute(bytes, IFLA_IFNAME, text("lanyard0"));
  attribute(bytes, IFLA_ADDRESS, {2, 0, 0, 0, 0, 1});
  attribute(bytes, IFLA_MTU, {0xdc, 0x05, 0, 0});
  attribute(bytes, IFLA_CARRIER, {1});
  attribute(bytes, IFLA_IFALIAS, text("a name"));
  Bytes kind;
  attribute(kind, IFLA_INFO_KIND, text("tun"));
  attribute(bytes, IFLA_LINKINFO, kind);
  return bytes;
}

TEST(NetlinkMessage, AttributesOfALink) {
  const auto link = parse_link(link_bytes());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->index, 7);
  EXPECT_EQ(link->name, "lanyard0");
  EXPECT_EQ(link->mac.text(), "02:00:00:00:00:01");
  EXPECT_EQ(link->mtu, 1500U);
  EXPECT_TRUE(link->up);
  EXPECT_TRUE(link->carrier);
  EXPECT_EQ(link->alias, "a name");
  EXPECT_EQ(link->kind, "tun");
}

TEST(NetlinkMessage, CutShortAnywhereItIsReadAsFarAsItGoes) {
  const Bytes whole = link_bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(parse_link(part).has_value(), size >= sizeof(ifinfomsg)) << size;
  }
}

TEST(NetlinkMessage, AttributesOfImpossibleLengthEndTheList) {
  for (const std::uint16_t length : std::array<std::uint16_t, 3>{0, 3, 200}) {
    Bytes bytes;
    put(bytes, length);
    put(bytes, std::uint16_t{IFLA_IFNAME});
    bytes.resize(16);
    EXPECT_FALSE(NetlinkAttributes(bytes).find(IFLA_IFNAME)) << length;
  }
}

TEST(NetlinkMessage, NumbersOfAnotherSizeAreAbsent) {
  Bytes bytes;
  attribute(bytes, IFLA_MTU, {1, 0});
  EXPECT_FALSE(NetlinkAttributes(bytes).number<std::uint32_t>(IFLA_MTU));
}

Bytes address_bytes(std::uint8_t family, std::uint8_t length, const Bytes& address) {
  Bytes bytes;
  ifaddrmsg head{};
  head.ifa_family = family;
  head.ifa_prefixlen = length;
  head.ifa_index = 3;
  put(bytes, head);
  attribute(bytes, IFA_ADDRESS, address);
  return bytes;
}

TEST(NetlinkMessage, AddressesOfBothFamilies) {
  const auto v4 = parse_address(address_bytes(AF_INET, 24, {192, 168, 56, 1}));
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->address.text(), "192.168.56.1");
  EXPECT_EQ(v4->length, 24U);
  EXPECT_EQ(v4->interface_index, 3);
  const auto v6 = parse_address(
      address_bytes(AF_INET6, 64, {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->address.text(), "fd00::1");
}

TEST(NetlinkMessage, WhatIsNoAddressIsNone) {
  EXPECT_FALSE(parse_address(address_bytes(AF_INET, 33, {192, 168, 56, 1})));
  EXPECT_FALSE(parse_address(address_bytes(AF_INET, 24, {192, 168, 56})));
  EXPECT_FALSE(parse_address(address_bytes(AF_PACKET, 24, {192, 168, 56, 1})));
}

TEST(NetlinkMessage, RoutesWithAndWithoutDestination) {
  Bytes bytes;
  rtmsg head{};
  head.rtm_family = AF_INET;
  head.rtm_table = RT_TABLE_MAIN;
  head.rtm_type = RTN_UNICAST;
  put(bytes, head);
  const auto standard = parse_route(bytes);
  ASSERT_TRUE(standard);
  EXPECT_EQ(standard->length, 0U);
  EXPECT_EQ(standard->table, 254U);

  bytes.clear();
  head.rtm_dst_len = 16;
  put(bytes, head);
  attribute(bytes, RTA_DST, {172, 17, 0, 0});
  attribute(bytes, RTA_OIF, {9, 0, 0, 0});
  attribute(bytes, RTA_TABLE, {0, 1, 0, 0});
  const auto route = parse_route(bytes);
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.text(), "172.17.0.0");
  EXPECT_EQ(route->interface_index, 9);
  EXPECT_EQ(route->table, 256U);
}

TEST(NetlinkMessage, ARefusalHasTheKernelsSentence) {
  Bytes bytes;
  nlmsgerr head{};
  head.error = -EPERM;
  head.msg.nlmsg_len = sizeof(nlmsghdr) + 16;
  put(bytes, head);
  bytes.resize(bytes.size() + 16);  // the request is repeated
  attribute(bytes, NLMSGERR_ATTR_MSG, text("no such right"));
  const NetlinkAnswer answer = parse_answer(bytes, NLM_F_ACK_TLVS);
  EXPECT_EQ(answer.code, EPERM);
  EXPECT_EQ(answer.text, "no such right");
  EXPECT_EQ(parse_answer(bytes, 0).text, "");
  EXPECT_EQ(parse_answer(Bytes(3), 0).code, EBADMSG);
}

}  // namespace
}  // namespace lanyard
