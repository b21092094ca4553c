// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_forwarder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/dns_world.h"
#include "tests/support/fake_log.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::dns_ip;
using testing::dns_network;
using testing::dns_query;
using testing::dns_response;
using testing::dns_sentence;
using testing::DnsBytes;
using ::testing::ElementsAre;
using testing::FakeGuestDirectory;
using ::testing::IsEmpty;

// A forwarder, its guests and its resolvers, with time moved by hand.
class DnsForwarderTest : public ::testing::Test, public DnsOutlet {
 protected:
  struct Sent {
    DnsAttemptId attempt;
    std::string resolver;
    DnsBytes query;
  };

  DnsForwarderTest()
      : forwarder(dns_network(),
                  {directory, *this,
                   [this](const DnsForwarder::Asker& asker, std::span<const std::uint8_t> reply) {
                     replies.push_back(dns_sentence(reply));
                     last_reply.assign(reply.begin(), reply.end());
                     last_asker = asker;
                   },
                   [this] { return static_cast<std::uint16_t>(next_random++); }, log}) {}

  Result<void> send(DnsAttemptId attempt, const ResolverAddress& resolver, Transport transport,
                    std::span<const std::uint8_t> query) override {
    const std::string text = resolver.text() + (transport == Transport::tcp ? " tcp" : "");
    if (text == unreachable) return Error{unreachable_code, "Network is unreachable"};
    open.insert(attempt);
    sent.push_back({attempt, text, {query.begin(), query.end()}});
    return {};
  }
  void close(DnsAttemptId attempt) override { open.erase(attempt); }

  void resolvers(const std::string& conf) { forwarder.set_resolvers(parse_resolv_conf(conf)); }
  void two_resolvers() { resolvers("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"); }

  bool ask(std::uint16_t id, std::string_view name, std::optional<std::uint16_t> edns = {},
           std::uint64_t connection = 0) {
    DnsForwarder::Asker asker;
    asker.connection = connection;
    if (connection == 0) asker.guest = MacAddress::from_number(0x525400000001);
    asker.port = 40000;
    return forwarder.query(asker, dns_query(id, name, DnsType::a, edns), now);
  }
  // To everybody who was asked, in order, since this was last called.
  std::vector<std::string> asked() {
    std::vector<std::string> names;
    for (; seen < sent.size(); ++seen) names.push_back(sent[seen].resolver);
    return names;
  }
  std::vector<std::string> replied() { return std::exchange(replies, {}); }
  void answer(std::size_t index, std::string_view address) {
    forwarder.on_reply(sent[index].attempt, dns_response(sent[index].query, {dns_ip(address)}),
                       now);
  }
  void refuse(std::size_t index, DnsRcode rcode) {
    forwarder.on_reply(sent[index].attempt, dns_response(sent[index].query, {}, rcode), now);
  }
  void pass(Duration time) {
    const Time until = now + time;
    while (forwarder.next_deadline() <= until) {
      now = std::max(now, forwarder.next_deadline());
      forwarder.on_time(now);
    }
    now = until;
  }

  FakeGuestDirectory directory;
  testing::FakeLog log;
  Time now = 1000s;
  unsigned next_random = 0x4000;
  std::string unreachable;
  int unreachable_code = ENETUNREACH;
  std::set<DnsAttemptId> open;
  std::vector<Sent> sent;
  std::size_t seen = 0;
  std::vector<std::string> replies;
  DnsBytes last_reply;
  DnsForwarder::Asker last_asker;
  DnsForwarder forwarder;
};

TEST_F(DnsForwarderTest, PassesAQuestionOnAndTheReplyBack) {
  two_resolvers();
  EXPECT_TRUE(ask(0x1234, "www.example.org"));
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1"));
  EXPECT_EQ(parse_dns_head(sent[0].query)->header.id, 0x4000) << "an ID of our own";
  EXPECT_THAT(replied(), IsEmpty());
  answer(0, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5"));
  EXPECT_EQ(parse_dns_head(last_reply)->header.id, 0x1234);
  EXPECT_EQ(last_asker.port, 40000);
  EXPECT_THAT(open, IsEmpty());
  EXPECT_EQ(forwarder.next_deadline(), Time::max());
}

TEST_F(DnsForwarderTest, LocalNamesAreAnsweredWithoutAResolver) {
  EXPECT_TRUE(ask(1, "web.lan"));
  EXPECT_THAT(replied(), ElementsAre("NOERROR 10.0.2.50"));
  EXPECT_TRUE(ask(2, "nobody.lan"));
  EXPECT_THAT(replied(), ElementsAre("NXDOMAIN"));
  EXPECT_TRUE(ask(3, "www.example.org"));
  EXPECT_THAT(replied(), ElementsAre("SERVFAIL")) << "at once";
  EXPECT_THAT(asked(), IsEmpty());
}

TEST_F(DnsForwarderTest, ASilentResolverCostsASecond) {
  two_resolvers();
  ask(1, "www.example.org");
  asked();
  pass(999ms);
  EXPECT_THAT(asked(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(asked(), ElementsAre("192.0.2.2"));
  answer(1, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5"));
}

TEST_F(DnsForwarderTest, ALateReplyIsAReply) {
  two_resolvers();
  ask(1, "www.example.org");
  pass(1500ms);
  answer(0, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5"));
  answer(1, "203.0.113.6");
  EXPECT_THAT(replied(), IsEmpty()) << "one is enough";
}

TEST_F(DnsForwarderTest, AllSilentIsSaidAfterTwoRounds) {
  two_resolvers();
  ask(1, "www.example.org");
  pass(3999ms);
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"));
  EXPECT_EQ(sent[0].attempt, sent[2].attempt) << "again by the same socket and ID";
  EXPECT_EQ(sent[0].query, sent[2].query);
  EXPECT_THAT(replied(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(replied(), ElementsAre("SERVFAIL"));
  EXPECT_THAT(open, IsEmpty());
}

TEST_F(DnsForwarderTest, NoQueryLastsLongerThanTenSeconds) {
  resolvers("options timeout:5 attempts:5\nnameserver 192.0.2.1\n");
  ask(1, "www.example.org");
  pass(9999ms);
  EXPECT_THAT(replied(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(replied(), ElementsAre("SERVFAIL"));
}

TEST_F(DnsForwarderTest, ADeadResolverIsAskedLastAndTriedNowAndThen) {
  two_resolvers();
  for (std::uint16_t id = 1; id <= 2; ++id) {
    ask(id, "www.example.org");
    pass(1s);
    answer(sent.size() - 1, "203.0.113.5");
  }
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"));
  EXPECT_FALSE(forwarder.status().resolvers[0].answers);
  EXPECT_EQ(forwarder.status().resolvers[0].timeouts, 2U);
  EXPECT_TRUE(log.contains("the resolver 192.0.2.1 cannot be used"));
  ask(3, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.2"));
  answer(sent.size() - 1, "203.0.113.5");

  pass(10s);
  replied();
  ask(4, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1", "192.0.2.2")) << "a copy tries the dead one";
  const std::size_t probe = sent.size() - 2;
  answer(probe + 1, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5")) << "without waiting for it";
  EXPECT_THAT(open, ElementsAre(sent[probe].attempt));
  ask(5, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.2")) << "one at a time";
  answer(probe, "203.0.113.5");
  EXPECT_TRUE(forwarder.status().resolvers[0].answers) << "back, though it was slower";
  EXPECT_TRUE(log.contains("the resolver 192.0.2.1 answers again"));
  ask(6, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1"));
}

TEST_F(DnsForwarderTest, AProbeThatIsNotAnsweredEnds) {
  two_resolvers();
  ask(1, "www.example.org");
  forwarder.on_failure(sent[0].attempt, "Connection refused", now);
  answer(1, "203.0.113.5");
  pass(10s);
  ask(2, "www.example.org");
  answer(3, "203.0.113.5");
  EXPECT_EQ(open.size(), 1U);
  pass(1s);
  EXPECT_THAT(open, IsEmpty());
  EXPECT_FALSE(forwarder.status().resolvers[0].answers);
}

TEST_F(DnsForwarderTest, AllDeadAreAskedAllTheSame) {
  resolvers("nameserver 192.0.2.1\n");
  for (std::uint16_t id = 1; id <= 3; ++id) {
    ask(id, "www.example.org");
    EXPECT_THAT(asked(), ElementsAre("192.0.2.1"));
    forwarder.on_failure(sent.back().attempt, "Connection refused", now);
    EXPECT_THAT(replied(), ElementsAre("SERVFAIL"));
  }
}

TEST_F(DnsForwarderTest, WhatFailsAtOnceIsFollowedByTheNextAtOnce) {
  struct {
    const char* what;
    std::function<void()> happens;
  } const cases[] = {
      {"SERVFAIL", [this] { refuse(sent.size() - 1, DnsRcode::server_failure); }},
      {"REFUSED", [this] { refuse(sent.size() - 1, DnsRcode::refused); }},
      {"NOTIMP", [this] { refuse(sent.size() - 1, DnsRcode::not_implemented); }},
      {"ICMP", [this] { forwarder.on_failure(sent.back().attempt, "Connection refused", now); }},
  };
  std::uint16_t id = 1;
  for (const auto& c : cases) {
    resolvers("nameserver 192.0.2." + std::to_string(id) + "\nnameserver 203.0.113.1\n");
    ask(id++, "www.example.org");
    asked();
    c.happens();
    EXPECT_THAT(asked(), ElementsAre("203.0.113.1")) << c.what;
    answer(sent.size() - 1, "203.0.113.5");
    EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5")) << c.what;
  }
  unreachable = "192.0.2.99";
  resolvers("nameserver 192.0.2.99\nnameserver 203.0.113.1\n");
  ask(id, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("203.0.113.1"));
  EXPECT_EQ(forwarder.status().resolvers[0].problem, "Network is unreachable");
}

TEST_F(DnsForwarderTest, TheFirstRefusalIsToldWhenNobodyKnowsBetter) {
  two_resolvers();
  ask(0x1234, "www.example.org");
  refuse(0, DnsRcode::refused);
  refuse(1, DnsRcode::server_failure);
  EXPECT_THAT(replied(), ElementsAre("REFUSED"));
  EXPECT_EQ(parse_dns_head(last_reply)->header.id, 0x1234);
  EXPECT_TRUE(forwarder.status().resolvers[0].answers) << "to refuse is to answer";
}

TEST_F(DnsForwarderTest, NoSuchNameIsAnAnswer) {
  two_resolvers();
  ask(1, "nobody.example.org");
  refuse(0, DnsRcode::name_error);
  EXPECT_THAT(replied(), ElementsAre("NXDOMAIN"));
}

TEST_F(DnsForwarderTest, WhatWasNotAskedIsNotBelieved) {
  two_resolvers();
  ask(1, "www.example.org");
  const DnsBytes& query = sent[0].query;
  const DnsBytes good = dns_response(query, {dns_ip("203.0.113.5")});
  DnsBytes other_id = good;
  other_id[1] ^= 1;
  DnsBytes no_response = good;
  no_response[2] &= 0x7f;
  DnsBytes other_opcode = good;
  other_opcode[2] |= 0x20;
  const DnsBytes other_name =
      dns_response(dns_query(0x4000, "www.example.com"), {dns_ip("6.6.6.6")});
  const DnsBytes other_type =
      dns_response(dns_query(0x4000, "www.example.org", DnsType::aaaa), {dns_ip("6.6.6.6")});
  DnsBytes no_question{good.begin(), good.begin() + 12};
  no_question[5] = no_question[7] = 0;
  const DnsBytes cut(good.begin(), good.begin() + 20);
  const std::vector<DnsBytes> forged{other_id,   no_response, other_opcode, other_name,
                                     other_type, no_question, cut,          {}};
  for (const DnsBytes& bytes : forged) forwarder.on_reply(sent[0].attempt, bytes, now);
  forwarder.on_reply(4711, good, now);
  EXPECT_THAT(replied(), IsEmpty());
  EXPECT_EQ(forwarder.status().counters.forged, forged.size());
  forwarder.on_reply(sent[0].attempt, good, now);
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5")) << "and the true one still counts";
}

TEST_F(DnsForwarderTest, AFailureWithoutItsQuestionIsAFailure) {
  resolvers("nameserver 192.0.2.1\n");
  ask(1, "www.example.org");
  DnsBytes bare = dns_response(sent[0].query, {}, DnsRcode::format_error);
  bare.resize(12);
  bare[5] = 0;
  forwarder.on_reply(sent[0].attempt, bare, now);
  EXPECT_THAT(replied(), ElementsAre("FORMERR"));
  EXPECT_EQ(parse_dns_head(last_reply)->question->name.text(), "www.example.org");
}

TEST_F(DnsForwarderTest, AGuestThatRepeatsItselfIsAskedForOnce) {
  two_resolvers();
  ask(1, "www.example.org");
  ask(1, "www.example.org");
  ask(1, "www.example.com");
  ask(2, "www.example.org");
  EXPECT_EQ(sent.size(), 3U);
  EXPECT_EQ(forwarder.status().counters.duplicates, 1U);
  answer(0, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5"));
  ask(1, "www.example.org");
  EXPECT_EQ(sent.size(), 4U) << "answered, so it is a new one";
}

TEST_F(DnsForwarderTest, WhatCannotBeAnsweredIsRefusedOrIgnored) {
  two_resolvers();
  const DnsBytes good = dns_query(1, "www.example.org");
  DnsBytes update = good, two = good, chaos = good, response = good;
  update[2] = 5 << 3;
  two[5] = 2;
  chaos[chaos.size() - 1] = 3;
  response[2] |= 0x80;
  const DnsBytes cut(good.begin(), good.end() - 3);
  struct {
    const char* what;
    DnsBytes bytes;
    const char* reply;  // "": none
  } const cases[] = {
      {"nothing", {}, ""},
      {"short", DnsBytes(11, 0), ""},
      {"a response", response, ""},
      {"an update", update, "NOTIMP"},
      {"two questions", two, "FORMERR"},
      {"cut", cut, "FORMERR"},
      {"another class", chaos, "REFUSED"},
      {"a transfer", dns_query(1, "example.org", DnsType::axfr), "REFUSED"},
  };
  for (const auto& c : cases) {
    const bool replies_to_it = forwarder.query({}, c.bytes, now);
    EXPECT_EQ(replies_to_it, c.reply[0] != '\0') << c.what;
    const auto all = replied();
    EXPECT_EQ(all.empty() ? "" : all[0], c.reply) << c.what;
  }
  EXPECT_THAT(asked(), IsEmpty());
  EXPECT_EQ(forwarder.status().counters.malformed, std::size(cases));
}

TEST_F(DnsForwarderTest, SizesByUdpAreBoundedOnBothSides) {
  two_resolvers();
  std::vector<IpAddress> many(100, dns_ip("203.0.113.5"));
  struct {
    std::optional<std::uint16_t> edns;
    std::uint16_t offered;
    std::size_t records;
    const char* reply;
  } const cases[] = {
      {{}, 0, 20, "NOERROR"},         {{}, 0, 50, "TC NOERROR"},       {4096, 1232, 50, "NOERROR"},
      {1000, 1000, 70, "TC NOERROR"}, {4096, 1232, 100, "TC NOERROR"},
  };
  for (const auto& c : cases) {
    ask(9, "www.example.org", c.edns);
    const auto query = parse_dns_message(sent.back().query);
    EXPECT_EQ(query->edns ? query->edns->udp_size : 0, c.offered);
    many.resize(c.records, dns_ip("203.0.113.5"));
    forwarder.on_reply(sent.back().attempt, dns_response(sent.back().query, many), now);
    EXPECT_THAT(replied()[0], ::testing::StartsWith(c.reply)) << c.records;
    EXPECT_EQ(parse_dns_message(last_reply)->answers.empty(), c.reply[0] == 'T');
  }
}

TEST_F(DnsForwarderTest, WhoComesByTcpIsServedByTcp) {
  two_resolvers();
  EXPECT_TRUE(ask(1, "www.example.org", 4096, 7));
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1 tcp"));
  EXPECT_EQ(parse_dns_message(sent[0].query)->edns->udp_size, 4096) << "as it came";
  forwarder.on_failure(sent[0].attempt, "Connection refused", now);
  EXPECT_THAT(asked(), ElementsAre("192.0.2.2 tcp"));
  EXPECT_TRUE(forwarder.status().resolvers[0].answers) << "without TCP it is still a resolver";
  const std::vector<IpAddress> many(1000, dns_ip("203.0.113.5"));
  forwarder.on_reply(sent[1].attempt, dns_response(sent[1].query, many), now);
  EXPECT_EQ(parse_dns_message(last_reply)->answers.size(), 1000U);
  EXPECT_EQ(last_asker.connection, 7U);

  ask(2, "www.example.org", {}, 8);
  forwarder.forget_connection(8);
  EXPECT_THAT(open, IsEmpty());
  EXPECT_EQ(forwarder.status().pending, 0U);
}

TEST_F(DnsForwarderTest, AGuestHasABoundAndLeavesRoomForOthers) {
  two_resolvers();
  for (std::size_t i = 0; i < DnsForwarder::kPendingPerGuestMax + 10; ++i) {
    ask(static_cast<std::uint16_t>(i), "www.example.org");
  }
  EXPECT_EQ(sent.size(), DnsForwarder::kPendingPerGuestMax);
  EXPECT_EQ(replied().size(), 10U);
  EXPECT_EQ(forwarder.status().counters.refused, 10U);
  DnsForwarder::Asker other;
  other.guest = MacAddress::from_number(0x525400000002);
  forwarder.query(other, dns_query(1, "www.example.org"), now);
  EXPECT_EQ(sent.size(), DnsForwarder::kPendingPerGuestMax + 1);
  pass(10s);
  EXPECT_EQ(forwarder.status().pending, 0U);
  EXPECT_THAT(open, IsEmpty());
}

TEST_F(DnsForwarderTest, NewResolversHoldForTheNextQuery) {
  two_resolvers();
  ask(1, "www.example.org");
  resolvers("nameserver 203.0.113.1\nnameserver 192.0.2.2\n");
  ask(2, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1", "203.0.113.1"));
  answer(0, "203.0.113.5");
  EXPECT_THAT(replied(), ElementsAre("NOERROR 203.0.113.5")) << "what was asked before goes on";
  resolvers("");
  ask(3, "www.example.org");
  EXPECT_THAT(replied(), ElementsAre("SERVFAIL"));
}

TEST_F(DnsForwarderTest, RotateBeginsWithAnotherEachTime) {
  resolvers("options rotate\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n");
  for (std::uint16_t id = 1; id <= 4; ++id) ask(id, "www.example.org");
  EXPECT_THAT(asked(), ElementsAre("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"));
}

TEST_F(DnsForwarderTest, WithoutDescriptorsNobodyIsCalledDead) {
  unreachable = "192.0.2.1";
  unreachable_code = EMFILE;
  resolvers("nameserver 192.0.2.1\n");
  ask(1, "www.example.org");
  EXPECT_THAT(replied(), ElementsAre("SERVFAIL"));
  EXPECT_TRUE(forwarder.status().resolvers[0].answers);
}

}  // namespace
}  // namespace lanyard
