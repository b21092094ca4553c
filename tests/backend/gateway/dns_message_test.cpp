// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "backend/gateway/dns_reply.h"
#include "tests/support/dns_world.h"

namespace lanyard {
namespace {

using testing::dns_ip;
using testing::dns_name;
using testing::dns_query;
using testing::dns_sentence;
using testing::DnsBytes;

// A header with one question and then `rest`.
DnsBytes with_question(const DnsBytes& rest, std::uint8_t questions = 1) {
  DnsBytes bytes{0x12, 0x34, 0x01, 0x00, 0, questions, 0, 0, 0, 0, 0, 0};
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

TEST(DnsName, IsReadFromTextAndShownAgain) {
  const std::string label63(63, 'a');
  struct {
    std::string text;
    std::string shown;  // "refused": cannot be a name
  } const cases[] = {
      {"www.example.org", "www.example.org"},
      {"www.example.org.", "www.example.org"},
      {"", "."},
      {".", "."},
      {"a b.c", "a\\032b.c"},
      {label63, label63},
      {label63 + "a", "refused"},
      {"a..b", "refused"},
      {".a", "refused"},
      {label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b'),
       label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b')},
      {label63 + "." + label63 + "." + label63 + "." + std::string(62, 'b'), "refused"},
  };
  for (const auto& c : cases) {
    const auto name = DnsName::parse(c.text);
    EXPECT_EQ(name ? name->text() : "refused", c.shown) << c.text;
  }
}

TEST(DnsName, ComparesWithoutCaseAndLiesWithinItsZones) {
  EXPECT_EQ(dns_name("WWW.Example.ORG"), dns_name("www.example.org"));
  EXPECT_TRUE(dns_name("a.Lan").is_within(dns_name("lan")));
  EXPECT_TRUE(dns_name("lan").is_within(dns_name("LAN")));
  EXPECT_TRUE(dns_name("lan").is_within(DnsName()));
  EXPECT_FALSE(dns_name("plan").is_within(dns_name("lan")));
  EXPECT_FALSE(dns_name("lan").is_within(dns_name("a.lan")));
  // The bytes of "\3lan\0" at the end of one label are no zone.
  const auto odd = DnsName::from_wire(std::string_view("\5x\3lan\0", 7));
  ASSERT_TRUE(odd.has_value());
  EXPECT_FALSE(odd->is_within(dns_name("lan")));
  EXPECT_EQ(dns_name("a.b.c").parent(), dns_name("b.c"));
  EXPECT_EQ(DnsName().parent(), DnsName());
}

TEST(DnsReader, FollowsNamesOnlyBackwards) {
  struct {
    const char* what;
    DnsBytes rest;     // from offset 12
    std::string name;  // "" when it is refused
  } const cases[] = {
      {"plain", {1, 'a', 1, 'b', 0, 0, 1, 0, 1}, "a.b"},
      {"root", {0, 0, 1, 0, 1}, "."},
      {"to itself", {0xc0, 12, 0, 1, 0, 1}, ""},
      {"to its own beginning", {1, 'a', 0xc0, 12, 0, 1, 0, 1}, ""},
      {"forwards", {0xc0, 16, 0, 1, 1, 'a', 0, 0, 1, 0, 1}, ""},
      {"past the end", {0xff, 0xff, 0, 1, 0, 1}, ""},
      {"into the header, where a zero is", {0xc0, 4, 0, 1, 0, 1}, "."},
      {"label of a kind that never came", {0x41, 'a', 0, 0, 1, 0, 1}, ""},
      {"label longer than the message", {63, 'a', 0}, ""},
      {"no end", {1, 'a'}, ""},
      {"half a pointer", {0xc0}, ""},
      {"no type", {1, 'a', 0}, ""},
  };
  for (const auto& c : cases) {
    const auto head = parse_dns_head(with_question(c.rest));
    ASSERT_TRUE(head.has_value()) << c.what;
    EXPECT_EQ(head->question ? head->question->name.text() : "", c.name) << c.what;
  }
}

TEST(DnsReader, ChainsOfPointersAreBoundedByTheNameSize) {
  // Labels of 63 bytes, each followed by a pointer to the one before.
  DnsBytes bytes = with_question({}, 0);
  std::size_t before = 4;  // a zero of the header
  for (int i = 0; i < 5; ++i) {
    const std::size_t here = bytes.size();
    bytes.push_back(63);
    bytes.insert(bytes.end(), 63, 'x');
    bytes.push_back(static_cast<std::uint8_t>(0xc0 | before >> 8));
    bytes.push_back(static_cast<std::uint8_t>(before));
    DnsReader reader(bytes, here);
    const DnsName name = reader.name();
    // Three fit into 255 bytes, a fourth does not.
    EXPECT_EQ(reader.ok(), i < 3) << i;
    EXPECT_EQ(name.labels().size(), i < 3 ? static_cast<std::size_t>(i) + 1 : 0) << i;
    before = here;
  }
}

TEST(DnsMessage, WhatIsWrittenIsReadAgain) {
  DnsHeader header;
  header.id = 0xbeef;
  header.response = header.recursion_desired = true;
  header.rcode = DnsRcode::name_error;
  DnsWriter writer(header);
  writer.question({dns_name("a.lan"), DnsType::a, kDnsClassIn});
  writer.address(DnsWriter::Section::answer, dns_name("a.lan"), 30, dns_ip("10.0.2.15"));
  writer.address(DnsWriter::Section::answer, dns_name("A.LAN"), 30, dns_ip("fd00::1"));
  writer.name(DnsWriter::Section::answer, dns_name("b.lan"), DnsType::cname, 30, dns_name("a.lan"));
  writer.soa(dns_name("lan"), dns_name("lan"), 10);
  writer.edns(1232, true);
  const DnsBytes bytes = writer.take();
  const auto message = parse_dns_message(bytes);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->header.id, 0xbeef);
  EXPECT_EQ(message->header.rcode, DnsRcode::name_error);
  ASSERT_EQ(message->answers.size(), 3U);
  EXPECT_EQ(message->answers[0].address(), dns_ip("10.0.2.15"));
  EXPECT_EQ(message->answers[1].address(), dns_ip("fd00::1"));
  EXPECT_EQ(message->answers[1].data_offset, 12U + 11U + 16U + 12U);  // its name is a pointer
  DnsReader cname(bytes, message->answers[2].data_offset);
  EXPECT_EQ(cname.name(), dns_name("a.lan"));
  ASSERT_EQ(message->authorities.size(), 1U);
  EXPECT_EQ(message->authorities[0].type, DnsType::soa);
  ASSERT_TRUE(message->edns.has_value());
  EXPECT_EQ(message->edns->udp_size, 1232);
  EXPECT_TRUE(message->edns->dnssec_ok);
  EXPECT_EQ(bytes[message->edns->udp_size_offset], 1232 >> 8);
}

TEST(DnsMessage, CutAnywhereItIsNone) {
  const DnsBytes whole = dns_query(1, "www.example.org", DnsType::a, 4096);
  EXPECT_TRUE(parse_dns_message(whole).has_value());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const DnsBytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(parse_dns_message(part).has_value()) << size;
  }
}

TEST(DnsMessage, HasOneOptRecordAtTheEnd) {
  DnsBytes twice = dns_query(1, "a", DnsType::a, 4096);
  const DnsBytes opt(twice.end() - 11, twice.end());
  twice.insert(twice.end(), opt.begin(), opt.end());
  EXPECT_TRUE(parse_dns_message(twice).has_value()) << "bytes behind the end are let pass";
  twice[11] = 2;
  EXPECT_FALSE(parse_dns_message(twice).has_value());
  DnsBytes as_answer = dns_query(1, "a", DnsType::a, 4096);
  as_answer[7] = 1;
  as_answer[11] = 0;
  EXPECT_FALSE(parse_dns_message(as_answer).has_value());
}

RC_GTEST_PROP(DnsMessage, NoBytesAreTooOdd, (const DnsBytes& bytes)) {
  parse_dns_head(bytes);
  if (const auto message = parse_dns_message(bytes)) {
    RC_ASSERT(message->questions.size() <= bytes.size());
  }
}

TEST(DnsReply, FitsOrSaysThatItWasCut) {
  DnsAnswer many;
  many.ttl_s = 30;
  for (std::uint32_t i = 0; i < 100; ++i) {
    many.records.push_back({dns_name("many.lan"), IpAddress(Ipv4Address::from_number(i))});
  }
  struct {
    std::optional<std::uint16_t> edns;
    std::size_t size_max;
  } const cases[] = {{{}, 512}, {100, 512}, {512, 512}, {1000, 1000}, {1232, 1232}, {4096, 1232}};
  for (const auto& c : cases) {
    const DnsBytes bytes = dns_query(7, "many.lan", DnsType::a, c.edns);
    const DnsMessage query = *parse_dns_message(bytes);
    EXPECT_EQ(dns_udp_size_of(query), c.size_max);
    const DnsBytes cut = make_dns_reply(query, many, dns_udp_size_of(query));
    EXPECT_EQ(dns_sentence(cut), "TC NOERROR");
    EXPECT_EQ(parse_dns_message(cut)->edns.has_value(), c.edns.has_value());
    EXPECT_EQ(parse_dns_message(make_dns_reply(query, many, 65535))->answers.size(), 100U);
  }
}

TEST(DnsReply, AnUnknownVersionOfEdnsIsSaidToBe) {
  DnsBytes bytes = dns_query(7, "a.lan", DnsType::a, 1232);
  bytes[bytes.size() - 5] = 1;
  const DnsBytes reply = make_dns_reply(*parse_dns_message(bytes), {}, 512);
  EXPECT_EQ(reply[reply.size() - 6], 1) << "BADVERS is 16: its upper part";
  EXPECT_EQ(dns_sentence(reply), "NOERROR");
}

}  // namespace
}  // namespace lanyard
