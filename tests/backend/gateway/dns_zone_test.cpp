// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_zone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/dns_world.h"

namespace lanyard {
namespace {

using testing::dns_ip;
using testing::dns_name;
using testing::dns_network;
using testing::dns_query;
using testing::dns_sentence;
using testing::DnsBytes;
using testing::FakeGuestDirectory;

constexpr const char* kOutside = "outside";

std::string ask(const DnsZone& zone, std::string_view name, DnsType type) {
  const auto answer = zone.answer({dns_name(name), type, kDnsClassIn});
  if (!answer) return kOutside;
  const DnsBytes query = dns_query(1, name, type);
  const DnsBytes reply = make_dns_reply(*parse_dns_message(query), *answer, 65535);
  const bool has_soa = !parse_dns_message(reply)->authorities.empty();
  EXPECT_EQ(has_soa, answer->records.empty()) << name << ": a negative answer says for how long";
  return dns_sentence(reply);
}

FakeGuestDirectory guests() {
  FakeGuestDirectory directory;
  directory.guests = {{"vm1", {dns_ip("10.0.2.15"), dns_ip("fd00::15")}},
                      {"web", {dns_ip("10.0.2.99")}},
                      {"gateway", {dns_ip("10.0.2.98")}},
                      {"wpad", {dns_ip("10.0.2.97")}},
                      {"localhost", {dns_ip("10.0.2.96")}}};
  return directory;
}

TEST(DnsZone, AnswersForTheNetworkAndNothingElse) {
  const FakeGuestDirectory directory = guests();
  const DnsZone zone(dns_network(), directory);
  using T = DnsType;
  struct {
    const char* name;
    T type;
    const char* answer;
  } const cases[] = {
      {"vm1", T::a, "NOERROR 10.0.2.15"},
      {"VM1.Lan", T::a, "NOERROR 10.0.2.15"},
      {"vm1.lan", T::aaaa, "NOERROR fd00::15"},
      {"vm1.lan", T::any, "NOERROR 10.0.2.15 fd00::15"},
      {"vm1.lan", T::txt, "NOERROR"},
      {"sub.vm1.lan", T::a, "NXDOMAIN"},
      {"nobody.lan", T::a, "NXDOMAIN"},
      {"lan", T::a, "NOERROR"},
      {"lan", T::soa, "NOERROR"},
      {"nobody", T::a, kOutside},
      {"vm1.other", T::a, kOutside},
      {"plan", T::a, kOutside},
      {".", T::ns, kOutside},
      {"www.example.org", T::a, kOutside},
      // The configuration wins over leases, and what is built in over leases, too.
      {"web", T::a, "NOERROR 10.0.2.50"},
      {"web.lan", T::aaaa, "NOERROR"},
      {"gateway.lan", T::a, "NOERROR 10.0.2.2"},
      {"gateway", T::aaaa, "NOERROR fd00::2"},
      {"host.lan", T::a, "NXDOMAIN"},
      {"wpad.lan", T::a, "NXDOMAIN"},
      // Records: below the domain, and full names.
      {"printer.lan", T::a, "NOERROR 10.0.2.77"},
      {"only6.lan", T::a, "NOERROR"},
      {"only6", T::aaaa, "NOERROR fd00::66"},
      {"db.example.org", T::a, "NOERROR 192.0.2.9"},
      {"db.example.org", T::aaaa, "NOERROR"},
      {"www.db.example.org", T::a, kOutside},
      {"db.example.org.lan", T::a, "NXDOMAIN"},
      {"a.deep.lan", T::a, "NOERROR 10.0.2.78"},
      {"deep.lan", T::a, "NOERROR"},
      // Names that mean something on one machine only.
      {"localhost", T::a, "NOERROR 127.0.0.1"},
      {"x.localhost", T::aaaa, "NOERROR ::1"},
      {"x.invalid", T::a, "NXDOMAIN"},
      {"_dns.resolver.arpa", T::any, "NOERROR"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ask(zone, c.name, c.type), c.answer) << c.name << " " << static_cast<int>(c.type);
  }
}

TEST(DnsZone, ReverseNamesOfTheSubnetsStayHere) {
  const FakeGuestDirectory directory = guests();
  const DnsZone zone(dns_network(), directory);
  const struct {
    std::string name;
    const char* answer;
  } cases[] = {
      {"15.2.0.10.in-addr.arpa", "NOERROR PTR:vm1.lan"},
      {"50.2.0.10.in-addr.arpa", "NOERROR PTR:web.lan"},
      {"2.2.0.10.in-addr.arpa", "NOERROR PTR:gateway.lan"},
      {"9.2.0.192.in-addr.arpa", "NOERROR PTR:db.example.org"},
      {"200.2.0.10.in-addr.arpa", "NXDOMAIN"},
      {"2.0.10.in-addr.arpa", "NOERROR"},
      {"b._dns-sd._udp.0.2.0.10.in-addr.arpa", "NXDOMAIN"},
      {"lb._dns-sd._udp.2.0.10.in-addr.arpa", "NXDOMAIN"},
      {"1.15.2.0.10.in-addr.arpa", "NXDOMAIN"},
      {"015.2.0.10.in-addr.arpa", "NXDOMAIN"},
      {"0.10.in-addr.arpa", kOutside},
      {"10.in-addr.arpa", kOutside},
      {"in-addr.arpa", kOutside},
      {"1.3.0.10.in-addr.arpa", kOutside},
      {"8.8.8.8.in-addr.arpa", kOutside},
      {"x.5.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "NXDOMAIN"},
      {"5.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
       "NOERROR PTR:vm1.lan"},
      {"6.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "NXDOMAIN"},
      {"0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "NOERROR"},
      {"d.f.ip6.arpa", kOutside},
      {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", kOutside},
  };
  for (const auto& c : cases) EXPECT_EQ(ask(zone, c.name, DnsType::ptr), c.answer) << c.name;
  EXPECT_EQ(ask(zone, "15.2.0.10.in-addr.arpa", DnsType::txt), "NOERROR");
}

TEST(DnsZone, WithoutADomainOnlyShortNamesAreOurs) {
  const FakeGuestDirectory directory = guests();
  NetworkConfig config = dns_network();
  config.domain.clear();
  const DnsZone zone(config, directory);
  EXPECT_EQ(ask(zone, "vm1", DnsType::a), "NOERROR 10.0.2.15");
  EXPECT_EQ(ask(zone, "vm1.lan", DnsType::a), kOutside);
  EXPECT_EQ(ask(zone, "15.2.0.10.in-addr.arpa", DnsType::ptr), "NOERROR PTR:vm1");
}

TEST(DnsZone, TheHostHasANameWhereItCanBeReached) {
  const FakeGuestDirectory directory;
  NetworkConfig config = dns_network();
  config.policy.host_loopback = true;
  EXPECT_EQ(ask(DnsZone(config, directory), "host.lan", DnsType::a), "NOERROR 10.0.2.2");
  config.kind = NetworkKind::host_only;
  config.host = HostInterfaceConfig{};
  config.host->address = Ipv4Prefix::parse("192.168.56.1/24");
  EXPECT_EQ(ask(DnsZone(config, directory), "host.lan", DnsType::a), "NOERROR 192.168.56.1");
  EXPECT_EQ(ask(DnsZone(config, directory), "gateway.lan", DnsType::a), "NXDOMAIN");
  config.kind = NetworkKind::routed;
  EXPECT_EQ(ask(DnsZone(config, directory), "gateway.lan", DnsType::a), "NOERROR 192.168.56.1");
}

}  // namespace
}  // namespace lanyard
