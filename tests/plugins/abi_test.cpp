// SPDX-License-Identifier: MIT
//
// The interface of plugins, as it was given out: what fails here breaks plugins that exist. Members
// may be added at the ends of structures, and then here.
#include <gtest/gtest.h>

#include <cstddef>

#include "plugins/lanyard_plugin.h"

namespace {

static_assert(LANYARD_PLUGIN_ABI == 1);

#define EXPECT_AT(type, member, offset) EXPECT_EQ(offsetof(type, member), std::size_t{offset})

TEST(PluginAbi, FramesAndBatches) {
  EXPECT_EQ(sizeof(lanyard_frame), 40U);
  EXPECT_AT(lanyard_frame, data, 0);
  EXPECT_AT(lanyard_frame, length, 8);
  EXPECT_AT(lanyard_frame, room, 12);
  EXPECT_AT(lanyard_frame, vlan, 16);
  EXPECT_AT(lanyard_frame, priority, 18);
  EXPECT_AT(lanyard_frame, tagged, 20);
  EXPECT_AT(lanyard_frame, verdict, 21);
  EXPECT_AT(lanyard_frame, segmentation, 22);
  EXPECT_AT(lanyard_frame, needs_checksum, 23);
  EXPECT_AT(lanyard_frame, segment_size, 24);
  EXPECT_AT(lanyard_frame, checksum_offset, 30);
  EXPECT_EQ(sizeof(lanyard_batch), 24U);
  EXPECT_AT(lanyard_batch, frame_size, 4);
  EXPECT_AT(lanyard_batch, count, 8);
  EXPECT_AT(lanyard_batch, port, 12);
  EXPECT_AT(lanyard_batch, direction, 14);
  EXPECT_AT(lanyard_batch, frames, 16);
}

TEST(PluginAbi, WhatAPluginRegisters) {
  EXPECT_EQ(sizeof(lanyard_filter), 24U);
  EXPECT_AT(lanyard_filter, frames, 16);
  EXPECT_EQ(sizeof(lanyard_command), 48U);
  EXPECT_AT(lanyard_command, path, 8);
  EXPECT_AT(lanyard_command, run, 32);
  EXPECT_AT(lanyard_command, effect, 40);
  EXPECT_EQ(sizeof(lanyard_category), 24U);
  EXPECT_EQ(sizeof(lanyard_backend), 40U);
  EXPECT_AT(lanyard_backend, open, 32);
  EXPECT_EQ(sizeof(lanyard_endpoint), 40U);
  EXPECT_AT(lanyard_endpoint, close, 32);
  EXPECT_EQ(sizeof(lanyard_event), 40U);
  EXPECT_AT(lanyard_event, path, 8);
  EXPECT_AT(lanyard_event, mac, 28);
  EXPECT_EQ(sizeof(lanyard_plugin), 40U);
  EXPECT_AT(lanyard_plugin, abi, 4);
  EXPECT_AT(lanyard_plugin, start, 24);
  EXPECT_AT(lanyard_plugin, stop, 32);
}

TEST(PluginAbi, WhatTheHostOffers) {
  EXPECT_AT(lanyard_host, add_filter, 16);
  EXPECT_AT(lanyard_host, add_command, 24);
  EXPECT_AT(lanyard_host, add_backend, 32);
  EXPECT_AT(lanyard_host, add_category, 40);
  EXPECT_AT(lanyard_host, subscribe, 48);
  EXPECT_AT(lanyard_host, category_wanted, 56);
  EXPECT_AT(lanyard_host, tell, 64);
  EXPECT_AT(lanyard_host, log, 72);
  EXPECT_AT(lanyard_host, reply, 80);
  EXPECT_AT(lanyard_host, now_ns, 88);
  EXPECT_AT(lanyard_host, add_timer, 96);
  EXPECT_AT(lanyard_host, remove_timer, 104);
  EXPECT_AT(lanyard_host, watch_fd, 112);
  EXPECT_AT(lanyard_host, unwatch_fd, 120);
  EXPECT_AT(lanyard_host, writable, 128);
  EXPECT_AT(lanyard_host, hold, 136);
  EXPECT_AT(lanyard_host, copy, 144);
  EXPECT_AT(lanyard_host, release, 152);
  EXPECT_AT(lanyard_host, inject, 160);
  EXPECT_AT(lanyard_host, plug, 168);
  EXPECT_AT(lanyard_host, unplug, 176);
  EXPECT_AT(lanyard_host, wake, 184);
  EXPECT_AT(lanyard_host, port_user, 192);
  EXPECT_AT(lanyard_host, port_description, 200);
  EXPECT_AT(lanyard_host, again, 208);
  EXPECT_EQ(sizeof(lanyard_host), 216U);
}

}  // namespace
