// SPDX-License-Identifier: MIT
#include "switch/daemon/network_plugins.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/fake_log.h"
#include "tests/support/recording_events.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using testing::FakeLog;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Texts = std::vector<std::string>;

const std::string kAcl = LANYARD_PLUGINS "/acl.so";
const std::string kAclDeny = kAcl + "; acl/add deny type ip6; acl/default deny";
const std::string kAclWrong = kAcl + "; acl/add deny type ip6; acl/add maybe";
const std::string kNetem = LANYARD_PLUGINS "/netem.so; netem/cable 3; netem/delay 5";
const std::string kCrash = LANYARD_ODD_PLUGINS "/crash.so";

struct World {
  FakeLog log;
  FramePool pool;
  testing::RecordingEvents events;
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  Switch bridge{{}, pool, events};
  Lane lane{bridge, pool, *loop, log};
  BackendRegistry backends;
  NetworkPlugins plugins{"lan", bridge, lane, backends, log};

  Texts texts() const {
    Texts all;
    for (const RpcPlugin& row : plugins.rows()) all.push_back(row.text);
    return all;
  }
  std::string reply(const std::string& line) {
    const Result<std::string> said = plugins.say(line);
    return said ? said.value() : said.error().text;
  }
  void expect_change(const Texts& wanted) {
    const Result<void> changed = plugins.change_to(wanted);
    EXPECT_TRUE(changed) << changed.error().text;
    EXPECT_EQ(texts(), wanted);
  }
};

TEST(NetworkPlugins, AreLoadedAndToldWhatTheTextSays) {
  World world;
  world.expect_change({kAclDeny, kNetem});
  EXPECT_THAT(world.reply("acl/list"), HasSubstr("deny type ip6"));
  EXPECT_THAT(world.reply("acl/list"), HasSubstr("else deny"));
  EXPECT_THAT(world.reply("netem/cables"), HasSubstr("3"));
  EXPECT_TRUE(world.log.contains("network lan: plugin acl loaded"));
  world.expect_change({});
  EXPECT_TRUE(world.bridge.filters().empty());
}

TEST(NetworkPlugins, WhatStaysTheSameIsNotTouched) {
  World world;
  world.expect_change({kAclDeny});
  world.reply("acl/add allow port 7");
  world.expect_change({kAclDeny, kNetem});
  EXPECT_THAT(world.reply("acl/list"), HasSubstr("allow port 7"));
}

TEST(NetworkPlugins, AChangeThatFailsLeavesThoseOfBefore) {
  const struct {
    Texts wanted;
    const char* part;
  } rows[]{
      {{kNetem, kAclWrong}, "'acl/add maybe': acl: Invalid argument"},
      {{kAclDeny, kCrash}, "child process"},
      {{kNetem, "no_such_plugin"}, "no plugin no_such_plugin in"},
      {{kAcl + "; netem/delay 5"}, "acl has no command 'netem/delay 5'; it has acl/add, acl/del"},
  };
  for (const auto& row : rows) {
    World world;
    world.expect_change({kAclDeny});
    world.reply("acl/add allow port 7");
    const Result<void> changed = world.plugins.change_to(row.wanted);
    ASSERT_FALSE(changed) << row.part;
    EXPECT_THAT(changed.error().text, HasSubstr(row.part));
    EXPECT_THAT(changed.error().text, ::testing::StartsWith("network lan: "));
    EXPECT_EQ(world.texts(), Texts{kAclDeny});
    EXPECT_THAT(world.reply("acl/list"), HasSubstr("else deny"));
    EXPECT_THAT(world.reply("acl/list"), HasSubstr("allow port 7")) << "said by hand";
  }
}

TEST(NetworkPlugins, ASuccessorHasThemInTheOrderOfTheirLoading) {
  World before;
  before.expect_change({kNetem});
  EXPECT_TRUE(before.plugins.change_to({kAclDeny, kNetem}));
  EXPECT_EQ(before.texts(), (Texts{kNetem, kAclDeny})) << "what is new comes behind";
  World after;
  after.plugins.resume({kAclDeny, kNetem}, before.plugins.handover());
  EXPECT_EQ(after.texts(), (Texts{kNetem, kAclDeny}));
}

TEST(NetworkPlugins, ARehearsalLoadsNothingAndFindsWhatAChildProcessCan) {
  World world;
  world.expect_change({kAclDeny});
  EXPECT_TRUE(world.plugins.rehearse({kAclDeny, kNetem}));
  EXPECT_FALSE(world.plugins.rehearse({kCrash}));
  EXPECT_FALSE(world.plugins.rehearse({LANYARD_ODD_PLUGINS "/vde_tree.so"}));
  EXPECT_EQ(world.texts(), Texts{kAclDeny});
}

TEST(NetworkPlugins, ASuccessorHasThemWithAllThatWasSaid) {
  World before;
  before.expect_change({kAclDeny, kNetem});
  before.reply("acl/add allow port 7");
  before.reply("acl/del 1");
  before.reply("acl/default allow");
  before.reply("acl/list");
  World after;
  after.plugins.resume({kAclDeny, kNetem}, before.plugins.handover());
  EXPECT_EQ(after.texts(), (Texts{kAclDeny, kNetem}));
  EXPECT_EQ(after.reply("acl/list"), before.reply("acl/list"));
  EXPECT_EQ(after.reply("netem/showinfo"), before.reply("netem/showinfo"));
  EXPECT_THAT(after.plugins.rows()[0].said,
              ElementsAre("acl/add deny type ip6", "acl/add allow port 7", "acl/del 1",
                          "acl/default allow"))
      << "without what only shows, and what was set last instead of before";
}

TEST(NetworkPlugins, ASuccessorGoesOnWithoutWhatCannotBeHadAgain) {
  World after;
  HandoverPart gone;
  gone.kind = "plugin";
  gone.set("text", "gone");
  gone.set("file", "/nonexistent/gone.so");
  after.plugins.resume({"gone", kAclDeny}, {gone});
  EXPECT_EQ(after.texts(), Texts{kAclDeny});
  EXPECT_TRUE(after.log.contains("a plugin is lost: no plugin /nonexistent/gone.so"));
}

TEST(NetworkPlugins, ACommandOfNoneIsRefused) {
  World world;
  EXPECT_THAT(world.reply("acl/list"), HasSubstr("no plugin of network lan has a command"));
  EXPECT_THAT(world.plugins.rows(), IsEmpty());
}

}  // namespace
}  // namespace lanyard
