// SPDX-License-Identifier: MIT
#include "switch/daemon/gateway_process.h"

#include <gtest/gtest.h>

#include <new>

#include "tests/support/fake_log.h"

namespace lanyard {
namespace {

// A network whose gateway cannot be started: there is no spawner.
struct World {
  World() {
    GatewayProcess::Callbacks callbacks;
    callbacks.plug = [](UniqueFd) { return Result<void>(); };
    callbacks.unplug = [this] {
      if (!has_memory) throw std::bad_alloc();
    };
    callbacks.configuration = [] { return Json::object(); };
    gateway = std::make_unique<GatewayProcess>(*loop, log, spawner, "nat", std::move(callbacks));
  }

  testing::FakeLog log;
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  Spawner spawner{*loop, log, SpawnerLink()};
  bool has_memory = true;
  std::unique_ptr<GatewayProcess> gateway;
};

TEST(GatewayProcess, OneThatCannotStartIsNotStartedInATightCircle) {
  constexpr int kRounds = 1000;
  World world;
  world.gateway->resume(nullptr);
  for (int round = 0; round < kRounds; ++round) world.loop->run_once(true);
  // Half of the rounds is far more than the pauses leave time for.
  EXPECT_LT(world.gateway->state().restarts, kRounds / 2);
}

TEST(GatewayProcess, OneThatEndsWithoutMemoryIsStartedNevertheless) {
  World world;
  world.has_memory = false;
  world.gateway->resume(nullptr);
  while (world.gateway->state().restarts < 2) world.loop->run_once(false);
  EXPECT_FALSE(world.gateway->state().trouble.empty());
}

TEST(GatewayProcess, TheFirstStartTellsThatItHasFailed) {
  World world;
  world.has_memory = false;
  int told = 0;
  world.gateway->start([&](const Result<void>& started) {
    EXPECT_FALSE(started);
    ++told;
    throw std::bad_alloc();
  });
  EXPECT_EQ(told, 1);
  world.loop->run_once(true);
  EXPECT_EQ(world.gateway->state().restarts, 0U);
}

}  // namespace
}  // namespace lanyard
