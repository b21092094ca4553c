// SPDX-License-Identifier: MIT
#include "backend/gateway/router_advertiser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/dns_world.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::dns_network;
using testing::DnsBytes;
using testing::RecordingGuestLink;

constexpr MacAddress kMac = MacAddress::from_number(0x525400123502);
constexpr MacAddress kGuest = MacAddress::from_number(0x525400000001);

Ipv6Address ip6(const char* text) {
  return *Ipv6Address::parse(text);
}

// The advertisement in words: "router 1800 mac 525400123502 mtu 1500 prefix fd00::/64 LA 86400
// ...".
std::string shown(const DnsBytes& body) {
  DnsReader reader(body);
  if (reader.byte() != 134) return "no advertisement";
  reader.bytes(3);
  std::string text = reader.byte() == 64 && reader.byte() == 0 ? "" : "odd ";
  text += "router " + std::to_string(reader.word());
  reader.bytes(8);
  while (reader.position() < body.size()) {
    const std::uint8_t type = reader.byte();
    const std::size_t size = std::size_t{reader.byte()} * 8;
    DnsReader option(reader.bytes(size - 2));
    if (!reader.ok()) return text + " cut";
    const auto address = [&option] {
      Ipv6Address::Bytes octets{};
      const auto bytes = option.bytes(16);
      std::copy(bytes.begin(), bytes.end(), octets.begin());
      return Ipv6Address(octets).text();
    };
    if (type == 1) {
      text += " mac " + MacAddress::from_bytes(option.bytes(6).first<6>()).text();
    } else if (type == 5) {
      option.word();
      text += " mtu " + std::to_string(option.long_word());
    } else if (type == 3) {
      const std::uint8_t length = option.byte();
      const std::uint8_t flags = option.byte();
      text += std::string(" prefix ") + ((flags & 0x80) != 0 ? "L" : "") +
              ((flags & 0x40) != 0 ? "A" : "");
      text += " " + std::to_string(option.long_word());
      text += " " + std::to_string(option.long_word());
      option.long_word();
      text += " " + address() + "/" + std::to_string(length);
    } else if (type == 25) {
      option.word();
      text += " dns " + std::to_string(option.long_word());
      text += " " + address();
    } else if (type == 31) {
      option.word();
      text += " search " + std::to_string(option.long_word());
      for (DnsName name = option.name(); option.ok() && !name.is_root(); name = option.name()) {
        text += " " + name.text();
      }
    } else {
      text += " option " + std::to_string(type);
    }
  }
  return text;
}

class RouterAdvertiserTest : public ::testing::Test {
 protected:
  RouterAdvertiser advertiser(const NetworkConfig& config) {
    return RouterAdvertiser(
        config, kMac, link, [this] { return random; }, now);
  }
  // The times at which something was sent until `until`.
  std::vector<long> times(RouterAdvertiser& advertiser, Time until) {
    std::vector<long> seconds;
    while (advertiser.next_deadline() <= until) {
      now = advertiser.next_deadline();
      advertiser.on_time(now);
      seconds.push_back(std::chrono::duration_cast<std::chrono::seconds>(now - 1000s).count());
    }
    return seconds;
  }

  RecordingGuestLink link;
  std::uint32_t random = 0;
  Time now = 1000s;
};

TEST_F(RouterAdvertiserTest, SaysAllThatAGuestNeeds) {
  NetworkConfig config = dns_network();
  config.mtu = 9000;
  config.dhcp.search = {"lan", "corp.example.org"};
  RouterAdvertiser ra = advertiser(config);
  ra.on_time(now);
  ASSERT_EQ(link.icmp6.size(), 1U);
  EXPECT_EQ(shown(link.icmp6[0].body),
            "router 1800 mac 52:54:00:12:35:02 mtu 9000 prefix LA 86400 14400 fd00::/64 "
            "dns 1800 fd00::3 search 1800 lan corp.example.org");
  EXPECT_EQ(link.icmp6[0].to.text(), "33:33:00:00:00:01");
  EXPECT_EQ(link.icmp6[0].source.text(), "fe80::5054:ff:fe12:3502");
  EXPECT_EQ(link.icmp6[0].destination.text(), "ff02::1");
}

TEST_F(RouterAdvertiserTest, SaysNothingThatIsNotSo) {
  NetworkConfig config = dns_network();
  config.dns.enabled = false;
  config.domain.clear();
  config.mtu = 1000;  // no IPv6 link
  config.subnet6 = Ipv6Prefix::parse("fd00::/56");
  RouterAdvertiser ra = advertiser(config);
  ra.on_time(now);
  EXPECT_EQ(shown(link.icmp6[0].body),
            "router 1800 mac 52:54:00:12:35:02 prefix L 86400 14400 fd00::/56");
}

TEST_F(RouterAdvertiserTest, BeginsFastAndThenTakesItsTime) {
  RouterAdvertiser ra = advertiser(dns_network());
  EXPECT_THAT(times(ra, now + 1000s), ::testing::ElementsAre(0, 16, 32, 232, 432, 632, 832));
  random = 400'000;
  now = 1000s;
  RouterAdvertiser slow = advertiser(dns_network());
  EXPECT_THAT(times(slow, now + 1000s), ::testing::ElementsAre(0, 16, 32, 632));
}

TEST_F(RouterAdvertiserTest, WhoAsksIsAnsweredAtOnceAndAlone) {
  RouterAdvertiser ra = advertiser(dns_network());
  ra.on_solicitation(kGuest, ip6("fe80::1"), now);
  ra.on_solicitation(kGuest, Ipv6Address(), now);
  ASSERT_EQ(link.icmp6.size(), 2U);
  EXPECT_EQ(link.icmp6[0].to, kGuest);
  EXPECT_EQ(link.icmp6[0].destination.text(), "fe80::1");
  EXPECT_EQ(link.icmp6[1].to, kGuest);
  EXPECT_EQ(link.icmp6[1].destination.text(), "ff02::1") << "it has no address yet";
}

TEST_F(RouterAdvertiserTest, AFloodIsAnsweredTogether) {
  RouterAdvertiser ra = advertiser(dns_network());
  times(ra, now + 40s);
  link.icmp6.clear();
  for (int i = 0; i < 1000; ++i) ra.on_solicitation(kGuest, ip6("fe80::1"), now);
  EXPECT_EQ(link.icmp6.size(), RouterAdvertiser::kAnswersPerSecond);
  EXPECT_EQ(ra.next_deadline(), now + 1s);
  now += 1s;
  ra.on_time(now);
  EXPECT_EQ(link.icmp6.back().destination.text(), "ff02::1");
  EXPECT_TRUE(link.icmp6.back().to.is_group());
  ra.on_solicitation(kGuest, ip6("fe80::1"), now);
  EXPECT_EQ(link.icmp6.size(), RouterAdvertiser::kAnswersPerSecond + 2U);
}

TEST_F(RouterAdvertiserTest, ChangesAreToldAndWhatIsGoneIsWithdrawn) {
  NetworkConfig config = dns_network();
  RouterAdvertiser ra = advertiser(config);
  times(ra, now + 40s);
  link.icmp6.clear();
  ra.reconfigure(config, now);
  EXPECT_GT(ra.next_deadline(), now + 1s) << "nothing changed";
  config.subnet6 = Ipv6Prefix::parse("fd01::/64");
  config.router6 = ip6("fd01::2");
  ra.reconfigure(config, now);
  ASSERT_EQ(link.icmp6.size(), 1U);
  EXPECT_THAT(shown(link.icmp6[0].body), ::testing::HasSubstr("prefix LA 0 0 fd00::/64"));
  ra.on_time(now);
  EXPECT_THAT(shown(link.icmp6[1].body), ::testing::HasSubstr("fd01::/64"));
  config.subnet6.reset();
  ra.reconfigure(config, now);
  EXPECT_THAT(shown(link.icmp6[2].body), ::testing::StartsWith("router 0 "));
  EXPECT_EQ(ra.next_deadline(), Time::max());
  ra.on_solicitation(kGuest, ip6("fe80::1"), now);
  ra.shut_down();
  EXPECT_EQ(link.icmp6.size(), 3U);
}

TEST_F(RouterAdvertiserTest, TheLastWordsAreThatThereIsNoRouter) {
  RouterAdvertiser ra = advertiser(dns_network());
  ra.shut_down();
  ASSERT_EQ(link.icmp6.size(), 1U);
  EXPECT_THAT(shown(link.icmp6[0].body), ::testing::StartsWith("router 0 "));
  EXPECT_THAT(shown(link.icmp6[0].body), ::testing::HasSubstr("prefix LA 86400 14400"));
  EXPECT_EQ(ra.next_deadline(), Time::max());
}

TEST_F(RouterAdvertiserTest, MayBeNoDefaultRouter) {
  RouterAdvertiser ra = advertiser(dns_network());
  ra.set_default_router(false, now);
  ra.on_time(now);
  EXPECT_THAT(shown(link.icmp6[0].body), ::testing::StartsWith("router 0 mac "));
  EXPECT_THAT(shown(link.icmp6[0].body), ::testing::HasSubstr("dns 1800"));
}

TEST_F(RouterAdvertiserTest, IsSilentWhereThereIsNothingToAdvertise) {
  NetworkConfig config = dns_network();
  config.kind = NetworkKind::host_only;
  RouterAdvertiser ra = advertiser(config);
  EXPECT_EQ(ra.next_deadline(), Time::max());
  ra.on_solicitation(kGuest, ip6("fe80::1"), now);
  EXPECT_TRUE(link.icmp6.empty());
}

}  // namespace
}  // namespace lanyard
