"""Reloads beside the traffic: the configuration changes back and forth, is broken now and then, and the signals come
close together."""

import asyncio
import signal


async def run(sluice, world, journal):
    number = 0
    while True:
        number += 1
        dice = journal.dice("reload", number)
        text = world.text(dice if dice.chance(0.7) else None)
        if dice.chance(0.1):
            dice.say("broken")
            text = text[: dice.between(0, len(text))] + dice.one("\n[[", "\nx = ", "\n\"\"\"", "\n[nonsense]\n")
        dice.say(f"{len(text)} bytes")
        sluice.write_config(text)
        for _ in range(dice.one(1, 1, 1, 2, 5)):
            sluice.signal(signal.SIGHUP)
            await asyncio.sleep(dice.seconds(0.05))
        if dice.chance(0.1):
            sluice.signal(signal.SIGUSR1)
        await asyncio.sleep(0.2 + dice.seconds(2.0))
