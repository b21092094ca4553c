// SPDX-License-Identifier: MIT
//
// Plugins of our interface in a real switch and lane. The odd ones are
// tests/plugins/odd_plugin.cpp.
#include "switch/control/plugin_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <map>

#include "switch/control/native_plugin.h"
#include "switch/control/plugin_probe.h"
#include "tests/support/fake_log.h"
#include "tests/support/memory_endpoint.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::balance_error;
using testing::Cable;
using ::testing::ElementsAre;
using testing::FakeLog;
using testing::frame;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kAlice;
using testing::kBroadcast;
using testing::MemoryEndpoint;
using testing::WireFrame;

class World {
 public:
  World() {
    add_all_commands(commands);
    for (const PortId id : {PortId{1}, PortId{2}}) {
      PlugRequest request;
      request.port = id;
      request.traits.module = "memory";
      cables[id] = std::make_shared<Cable>();
      EXPECT_TRUE(lane.reserve(request).ok());
      EXPECT_TRUE(
          lane.plug(id, std::make_unique<MemoryEndpoint>(cables[id], pool), request.traits, {})
              .ok());
    }
    host =
        std::make_unique<PluginHost>(PluginEnvironment{bridge, lane, backends, commands, hub, log});
  }
  ~World() {
    host.reset();
    lane.close_all();
  }

  Result<void> add(const std::string& odd) {
    return host->add(std::string(LANYARD_ODD_PLUGINS "/") + odd);
  }
  // The code of an error, and its sentence in `sentence`.
  int code_of(const std::string& odd) {
    const Result<void> added = add(odd);
    sentence = added.ok() ? "" : added.error().text;
    return added.ok() ? 0 : added.error().code;
  }
  CommandTable::Outcome run(std::string_view line, std::string* text = nullptr) {
    CommandContext context{bridge, lane, backends, commands, info, log, hub, host.get()};
    Reply reply;
    const CommandTable::Outcome outcome = commands.run(context, line, reply);
    if (text != nullptr) *text = reply.text();
    return outcome;
  }
  // A frame into port 1, all the way, and the rest of the loop's round.
  void send(const WireFrame& wire) {
    FrameBatch batch;
    batch.push(testing::frame_of(pool, wire));
    bridge.forward(*bridge.port(1), batch);
    bridge.flush().clear();
    loop->run_once(true);
    bridge.flush().clear();
  }
  std::vector<WireFrame> received() { return cables[2]->take(); }

  FramePool pool;
  FakeLog log;
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  DebugHub hub{*loop, log};
  Switch bridge{settings(), pool, hub};
  Lane lane{bridge, pool, *loop, log};
  BackendRegistry backends;
  CommandTable commands;
  DaemonInfo info;
  std::map<PortId, std::shared_ptr<Cable>> cables;
  std::unique_ptr<PluginHost> host;
  std::string sentence;

 private:
  static Switch::Settings settings() {
    Switch::Settings settings;
    settings.mac_entries_max = 64;
    return settings;
  }
};

WireFrame ending(char last) {
  return frame().from(kAlice).to(kBroadcast).payload(std::string(49, '.') + last);
}

// ThreadSanitizer has a code of its own for who exits in the midst of dlopen(3).
#ifdef LANYARD_SANITIZED
constexpr const char* kExitSaid = "ended the process with code";
#else
constexpr const char* kExitSaid = "code 3";
#endif

TEST(PluginHost, RefusesWithASentence) {
  struct Row {
    const char* odd;
    int code;
    const char* part;
  };
  for (const Row& row :
       {Row{"missing", ENOENT, "no plugin"}, Row{"no_symbol", EINVAL, "no symbol lanyard_plugin"},
        Row{"wrong_abi", EINVAL, "version 99"}, Row{"short_table", EINVAL, "16 bytes"},
        Row{"crash", EFAULT, "child process"}, Row{"exit", EFAULT, kExitSaid},
        Row{"hang", ETIMEDOUT, "within 2 s"}, Row{"refuses", EPERM, "did not start"}}) {
    World world;
    EXPECT_EQ(world.code_of(row.odd), row.code) << row.odd << ": " << world.sentence;
    EXPECT_THAT(world.sentence, HasSubstr(row.part)) << row.odd;
    EXPECT_THAT(world.host->plugins(), IsEmpty());
    EXPECT_TRUE(world.bridge.filters().empty()) << row.odd;
  }
}

TEST(PluginHost, LoadsOnceListsAndUnloads) {
  World world;
  EXPECT_EQ(world.code_of("useful"), 0) << world.sentence;
  EXPECT_EQ(world.code_of("useful"), EEXIST);
  EXPECT_EQ(world.code_of("new"), EEXIST) << "another file, the same name";
  std::string text;
  EXPECT_TRUE(world.run("plugin/list", &text).result.ok());
  EXPECT_THAT(text, HasSubstr("odd                    something is odd about it\n"));
  EXPECT_EQ(world.commands.rows().back().path, "odd/run");
  EXPECT_TRUE(world.run("plugin/del od").result.ok());
  EXPECT_TRUE(world.bridge.filters().empty());
  EXPECT_EQ(world.commands.match("odd/run"), nullptr);
  EXPECT_EQ(world.run("plugin/list").result.error().code, ENOENT);
  EXPECT_EQ(world.run("plugin/del od").result.error().code, ENOENT);
}

TEST(PluginHost, ALaterHeadersPluginLoads) {
  World world;
  EXPECT_EQ(world.code_of("new"), 0) << world.sentence;
}

TEST(PluginHost, AnOlderHeadersStructureIsTaken) {
  // As a header without the last member would have made it.
  lanyard_category shorter{};
  shorter.size = sizeof shorter - sizeof(void*);
  shorter.path = "x/y";
  lanyard_category taken{};
  EXPECT_TRUE(take_struct(&shorter, offsetof(lanyard_category, help), taken));
  EXPECT_STREQ(taken.path, "x/y");
  EXPECT_EQ(taken.help, nullptr);
  EXPECT_FALSE(take_struct(&shorter, sizeof(lanyard_category), taken));
}

TEST(PluginHost, TheTemplateLoads) {
  World world;
  EXPECT_EQ(world.code_of("template"), 0) << world.sentence;
  world.send(ending('1'));
  std::string text;
  EXPECT_TRUE(world.run("template/showinfo", &text).result.ok());
  EXPECT_EQ(text, "frames=1 bytes=64\n");
}

TEST(PluginHost, AFilterPassesDropsAndAlters) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  world.send(ending('1'));
  EXPECT_THAT(world.received(), ElementsAre(ending('1')));
  world.send(ending('d'));
  EXPECT_THAT(world.received(), IsEmpty());
  EXPECT_EQ(world.bridge.port(1)->counters.drops.of(Drop::filtered), 1U);
  world.send(ending('x'));
  WireFrame altered = ending('y');
  altered.bytes.push_back('z');
  EXPECT_THAT(world.received(), ElementsAre(altered));
  EXPECT_EQ(balance_error(world.bridge), "");
}

TEST(PluginHost, AFilterHoldsCopiesAndInjects) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  world.send(ending('h'));
  EXPECT_THAT(world.received(), IsEmpty());
  EXPECT_EQ(balance_error(world.bridge), "");
  EXPECT_TRUE(world.run("odd/run let go").result.ok());
  world.bridge.flush().clear();
  EXPECT_THAT(world.received(), ElementsAre(ending('h'), ending('h')));
  world.send(ending('2'));
  EXPECT_EQ(world.received().size(), 2U);
  EXPECT_EQ(balance_error(world.bridge), "");
}

TEST(PluginHost, WhatAnUnloadedPluginHeldIsCounted) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  world.send(ending('h'));
  EXPECT_TRUE(world.run("plugin/del odd").result.ok());
  EXPECT_EQ(world.bridge.port(1)->counters.drops.of(Drop::filtered), 1U);
  EXPECT_EQ(balance_error(world.bridge), "");
}

TEST(PluginHost, ACommandAnswersInCleanLinesAndCodes) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  std::string text;
  EXPECT_TRUE(world.run("odd/run", &text).result.ok());
  EXPECT_EQ(text, "two\nlines\\x1b[1m\n");
  EXPECT_EQ(world.run("odd/run fail").result.error().code, EPERM);
}

TEST(PluginHost, AnEndpointOfAPluginIsLikeAnyOther) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  EXPECT_TRUE(world.run("port/plug odd://3").result.ok()) << world.log.text();
  EXPECT_EQ(world.run("port/plug odd://77777").result.error().code, EINVAL);
  world.send(ending('1'));
  world.lane.serve_ready();
  WireFrame echoed = ending('1');
  for (std::size_t i = 0; i < 6; ++i) std::swap(echoed.bytes[i], echoed.bytes[i + 6]);
  echoed.bytes[6] = 0x02;
  EXPECT_THAT(world.cables[1]->take(), ElementsAre(echoed));
  EXPECT_THAT(world.received(), ElementsAre(ending('1')));
  std::string text;
  EXPECT_TRUE(world.run("odd/run unplug").result.ok());
  world.lane.serve_ready();
  world.run("odd/run count", &text);
  EXPECT_THAT(text, HasSubstr("closed=1"));
  EXPECT_FALSE(world.bridge.port(3)->active());
  EXPECT_EQ(balance_error(world.bridge), "");
}

TEST(PluginHost, EndpointsEndWithTheirPlugin) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  EXPECT_TRUE(world.run("port/plug odd://3").result.ok());
  EXPECT_TRUE(world.run("plugin/del odd").result.ok());
  world.send(ending('1'));
  world.lane.serve_ready();
  EXPECT_FALSE(world.bridge.port(3)->active());
  EXPECT_EQ(world.run("port/plug odd://3").result.error().code, ENOENT);
}

TEST(PluginHost, AnEndpointThatLiesIsUnplugged) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  EXPECT_TRUE(world.run("port/plug odd://3?lies=1").result.ok()) << world.log.text();
  world.send(ending('1'));
  world.lane.serve_ready();
  EXPECT_FALSE(world.bridge.port(3)->active());
  EXPECT_TRUE(world.log.contains("more frames than there was room for")) << world.log.text();
}

TEST(PluginHost, EventsTimersAndDebugLines) {
  class Listener final : public DebugListener {
   public:
    const DebugCategories& wanted() const override { return categories; }
    void forget(std::size_t category) override { categories.reset(category); }
    void notify(std::string_view line) override { lines.emplace_back(line); }
    DebugCategories categories;
    std::vector<std::string> lines;
  } listener;
  World world;
  world.hub.add(listener);
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  EXPECT_TRUE(world.bridge.create_port(PortId{5}).ok());
  EXPECT_TRUE(world.run("odd/run timer 1").result.ok());
  world.loop->run_once(false);
  std::string text;
  world.run("odd/run count", &text);
  EXPECT_EQ(text, "events=1 expired=1 closed=0\n");

  world.run("odd/run tell");
  EXPECT_THAT(listener.lines, IsEmpty());
  listener.categories.set();
  world.run("odd/run tell");
  EXPECT_THAT(listener.lines, ElementsAre("3777 odd/thing something odd\n"));
  EXPECT_TRUE(world.run("plugin/del odd").result.ok());
  EXPECT_FALSE(listener.categories.all()) << "a category that is gone is wanted by nobody";
  world.hub.remove(listener);
}

TEST(PluginHost, DoesNotSleepThroughTheEndOfATimer) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  const auto sleeps = [] {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
  };
  std::string expired;
  for (int i = 1; i <= 10; ++i) {
    world.run("odd/run timer 100000");
    const auto before = sleeps();
    world.loop->run_once(false);
    EXPECT_EQ(sleeps(), before) << "a sleeper is woken late";
  }
  world.run("odd/run count", &expired);
  EXPECT_THAT(expired, HasSubstr("expired=10 "));
}

TEST(PluginHost, TellsWhatTheSpanningTreeDoes) {
  World world;
  ASSERT_EQ(world.code_of("useful"), 0) << world.sentence;
  Event event;
  event.port = PortId{3};
  event.vlan = 10;
  using Kind = Event::Kind;
  for (const auto& [kind, text] :
       {std::pair{Kind::tree_heard, ""}, std::pair{Kind::tree_root, "10:00:00:ff:01:02:03:04"},
        std::pair{Kind::tree_status, "learning+forwarding"},
        std::pair{Kind::tree_guarded, "closed"}, std::pair{Kind::tree_silent, ""}}) {
    event.kind = kind;
    event.text = text;
    world.hub.on_event(event);
  }
  std::string text;
  world.run("odd/run tree", &text);
  EXPECT_EQ(text,
            "fstp/+ 3 10 \n"
            "fstp/root 3 10 10:00:00:ff:01:02:03:04\n"
            "fstp/status 3 10 learning+forwarding\n"
            "fstp/guard 3 10 closed\n"
            "fstp/- 3 10 \n");
}

TEST(PluginHost, ALiarIsTakenOutOfTheFramesWay) {
  for (const char* const odd : {"liar_length", "liar_data", "liar_verdict"}) {
    World world;
    ASSERT_EQ(world.code_of(odd), 0) << world.sentence;
    world.send(ending('1'));
    EXPECT_THAT(world.received(), IsEmpty()) << odd;
    EXPECT_TRUE(world.log.contains("taken out of the frames' way")) << world.log.text();
    world.send(ending('1'));
    EXPECT_EQ(world.received().size(), 1U) << odd;
    EXPECT_EQ(balance_error(world.bridge), "");
  }
}

TEST(Probe, ToldErrorsComeBack) {
  EXPECT_TRUE(probe("x", []() -> Result<void> { return {}; }).ok());
  const Result<void> failed = probe("x", []() -> Result<void> {
    return Error{EPERM, "no, because 1 is 2"};
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, EPERM);
  EXPECT_EQ(failed.error().text, "no, because 1 is 2");
}

TEST(Probe, DoesNotWaitForEver) {
  const Result<void> hung = probe(
      "x",
      []() -> Result<void> {
        for (;;) ::pause();
      },
      std::chrono::milliseconds(50));
  ASSERT_FALSE(hung.ok());
  EXPECT_EQ(hung.error().code, ETIMEDOUT);
}

TEST(PluginHost, HandsOnWhatWasSaidToAPlugin) {
  World before;
  ASSERT_TRUE(before.host->add(LANYARD_PLUGINS "/acl.so"));
  for (const char* line : {"acl/default deny", "acl/add allow port 1", "acl/add deny type ip6",
                           "acl/del 1", "acl/list", "acl/add nonsense", "acl/default allow"}) {
    before.run(line);
  }
  World after;
  for (const HandoverPart& part : before.host->handover()) {
    const Result<void> adopted = after.host->adopt(part);
    EXPECT_TRUE(adopted) << adopted.error().text;
  }
  std::string wanted;
  std::string got;
  EXPECT_TRUE(before.run("acl/list", &wanted).result);
  EXPECT_TRUE(after.run("acl/list", &got).result);
  EXPECT_EQ(got, wanted);
  EXPECT_THAT(after.host->plugins()[0]->said(),
              ElementsAre("acl/add allow port 1", "acl/add deny type ip6", "acl/del 1",
                          "acl/default allow"));
}

}  // namespace
}  // namespace lanyard
