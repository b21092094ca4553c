// SPDX-License-Identifier: MIT
//
// What a switch has in its hands at one instant, for a successor that goes on in the next: who is
// where, what was counted, and the frames that wait for receivers. Nothing of it is committed: in
// the memory of a process that has crashed nobody would trust it. Lane thread only, between turns.
#pragma once

#include "switch/daemon/handover_state.h"
#include "switch/runtime/lane.h"

namespace lanyard {

// The switch is afterwards as it was before.
void seal_frames(Switch& bridge, FramePool& pool, SwitchRecord& into);

// Once the plugs are there. What belongs to one that is gone is lost, and counted where it can be.
void restore_frames(const SwitchRecord& record, FramePool& pool, Switch& bridge, Lane& lane);

}  // namespace lanyard
