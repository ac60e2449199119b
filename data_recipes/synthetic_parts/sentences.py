"""The parts of the synthetic subtitles: for each wording group openings, fillers and endings.

A subtitle is an opening with a filler at {x} and an ending. In each list the parts of the three
pools are separated by a line "--": train, then val, then test. No sentence names an emotion.
"""

from __future__ import annotations

_HAPPY = (
    """
    They offered me the job at the {x}!
    We won first prize for the {x}!
    My whole family came to celebrate the {x}.
    I passed the exam and they gave me the {x}!
    The doctor says all is well, so we booked the {x}.
    She said yes, and we kissed beside the {x}!
    You did it, everyone is cheering for the {x}!
    What a wonderful evening at the {x}.
    Our little girl danced all night at the {x}.
    All my friends are back together for the {x}.
    What a lovely gift, you got me the {x}!
    At last the summer holidays start with the {x}.
    --
    We got the best seats for the {x}!
    I laughed so much with you at the {x}.
    They are naming the baby at the {x}, how sweet!
    --
    Good news, they picked our team for the {x}!
    My son graduated with honours at the {x}!
    We are getting married right after the {x}!
    Such a beautiful morning, let us sing at the {x}.
    I finally reached my dream with the {x}!
    """,
    "garden party, music festival, science fair, new bakery, beach house, winter ball, family"
    " reunion, concert hall, spring parade, summer camp, dance contest, golden wedding -- lake"
    " cottage, birthday dinner, village feast -- rooftop party, film award, harvest fair, puppy"
    " show, boat trip",
    """
    I can't stop smiling!
    This is the best day ever!
    Let's open the champagne!
    My heart is dancing!
    I could hug the whole world!
    Thank you, thank you, it's perfect!
    I love every minute of it!
    Come here, let me hug you!
    We are so lucky!
    Everything turned out just right!
    I want to sing all day!
    Hooray, we did it together!
    --
    It's a dream come true!
    We laughed until the morning!
    Life is so good!
    --
    What a gift this is!
    I'm over the moon!
    Let's dance, come on!
    This is simply wonderful!
    I'm grinning from ear to ear!
    """,
)
_ANGRY = (
    """
    You lied to me about the {x} again!
    How dare you touch my {x}!
    You broke my {x} and blamed me for it!
    Who gave you the right to sell my {x}?
    You promised to pay for the {x} and you cheated me!
    You went behind my back with the {x}!
    I told you ten times to stay away from my {x}!
    They stole my {x} and you just stood there!
    You always insult me over the {x}!
    You never listen, you ruined the {x} on purpose!
    This is your fault, you wrecked the {x}!
    You wasted all my money on the {x}!
    --
    You took credit for my {x}!
    Don't you dare shout at me about the {x}!
    You threw out my {x} without asking!
    --
    You betrayed me, you gave away my {x}!
    Stop lying, you smashed the {x} yourself!
    You had no right to take my {x}!
    It's unfair, you blame me for the {x} every time!
    You tricked us all about the {x}!
    """,
    "car, contract, house keys, report, savings, laptop, project, motorbike, workshop, phone,"
    " rent, ticket -- camera, office, invoice -- company, guitar, loan, passport, fence",
    """
    Get out of my way!
    I've had enough of you!
    I won't stand for this any longer!
    You'll pay for this!
    Shut up and leave!
    Don't you ever do that again!
    Who do you think you are?
    This is an outrage!
    I will not be treated like this!
    You have no respect for anyone!
    I'm done with your excuses!
    Take it back right now!
    --
    Get out of my house!
    You owe me an apology!
    You'll hear from my lawyer!
    --
    I'm sick of your lies!
    How could you be so unfair!
    You'll regret this, I swear!
    Leave, and don't come back!
    Enough of your cheating!
    """,
)
_DISGUST = (
    """
    There are maggots crawling in the {x}.
    The {x} smells like rotten eggs.
    Something slimy is dripping from the {x}.
    The {x} is covered in green mould.
    Somebody threw up all over the {x}.
    I found a greasy hair stuck in the {x}.
    The {x} has gone sour and full of lumps.
    There is a dead rat rotting under the {x}.
    The {x} stinks of old sweat and urine.
    I bit into the {x} and it was full of worms.
    The {x} is sticky with somebody's spit.
    Flies are swarming over the rancid {x}.
    --
    The {x} reeks like a blocked sewer.
    There is pus and dirt all over the {x}.
    I just tasted the spoiled {x}.
    --
    There are cockroaches nesting in the {x}.
    The {x} smells of vomit.
    A rotten, slimy stench comes from the {x}.
    The mouldy {x} is oozing brown slime.
    They served us the stinking {x} with worms.
    """,
    "soup, fridge, meat, bathroom, sandwich, drain, cheese, toilet, milk, bin, carpet, fish --"
    " sausage, sink, pillow -- stew, bucket, yoghurt, mattress, kitchen",
    """
    Yuck, take it away from me.
    I think I'm going to be sick.
    Ugh, it makes me gag.
    My stomach is turning.
    I can't bear the stench.
    Don't put that near my mouth.
    It's filthy, I won't touch it.
    Eww, wash your hands at once.
    I want to throw up.
    The smell is unbearable.
    How can anyone eat that?
    I have to hold my nose.
    --
    Ugh, it's so foul.
    I nearly vomited.
    Yuck, what a stink.
    --
    Eww, I feel sick.
    The stench makes me gag.
    Yuck, it's all slimy.
    I can't swallow another bite.
    Ugh, that is so filthy.
    """,
)
_STARTLE = (
    """
    What was that, something just moved behind the {x}!
    Wait, did you hear that bang from the {x}?
    Oh my god, look, there is someone at the {x}!
    Suddenly the lights went out near the {x}!
    The {x} just opened all by itself!
    Watch out, something is falling from the {x}!
    Did you see that, a shadow ran past the {x}!
    A hand just came out of the {x}!
    Out of nowhere it jumped from the {x}!
    Who is there, who is knocking at the {x}?
    The {x} just exploded, what is going on?
    Look out, the {x} is moving!
    --
    Something just crashed into the {x}!
    Did that {x} just make a sound?
    Stop, someone is standing behind the {x}!
    --
    Hey, what is that thing coming out of the {x}?
    All of a sudden something hit the {x}!
    Oh, the {x} just moved, did you see it?
    What was that noise inside the {x}?
    Look, a stranger just appeared at the {x}!
    """,
    "window, door, curtain, cupboard, stairs, wall, tree, attic, mirror, roof, basement, gate --"
    " chimney, wardrobe, tunnel -- hallway, balcony, cellar, bushes, elevator",
    """
    What is happening?
    I didn't see it coming!
    Oh my god, what is it?
    Where did it come from?
    Did you see that?
    It came out of nowhere!
    Look, there it is again!
    What on earth was that?
    Wait, it's coming closer!
    Stop, don't move!
    How did it get in here?
    Oh, it's right behind you!
    --
    What could it be?
    It just jumped at me!
    Quick, turn on the light!
    --
    Oh god, what was that?
    It appeared all of a sudden!
    There, look, it moved again!
    Who could that be at this hour?
    What is that thing?
    """,
)
_PLAIN = (
    """
    I stayed at home again and sat by the {x}.
    Nobody called today, so I cleaned the {x}.
    It is raining, and I am looking at the {x}.
    I ate alone and then put away the {x}.
    The house is quiet since I moved the {x}.
    I spent the evening on my own with the {x}.
    It is Tuesday, and I have to wash the {x}.
    I came home late and left my coat on the {x}.
    There is nothing on today, only the {x}.
    I walked home alone and passed the {x}.
    The others have gone, and I folded the {x}.
    I made some tea and sat down near the {x}.
    --
    The afternoon is long, and I dust the {x}.
    I sit here by myself beside the {x}.
    It is a grey day, and I water the {x}.
    --
    I am at home alone, sorting the {x}.
    The evening is quiet, I just tidy the {x}.
    No one is here, so I sit by the {x}.
    It is an ordinary day, and I sweep the {x}.
    I had supper by myself next to the {x}.
    """,
    "old chair, dishes, calendar, newspaper, kitchen table, laundry, shelf, grey curtains, empty"
    " cups, radio, bus stop, towels -- window sill, spare bed, plates -- bookcase, cold stove,"
    " letters, floor lamp, closed shop",
    """
    It is the same every day.
    Then I went to bed.
    The room is quiet.
    Nothing else happened.
    I will do the same tomorrow.
    The clock is ticking.
    It is getting dark outside.
    That is how the day went.
    I have not talked to anyone.
    I will stay in tonight.
    The day is almost over.
    There is not much to say.
    --
    It was like any other day.
    The street is empty.
    I turned off the light.
    --
    That was all for today.
    I will go to sleep soon.
    It is quiet here in the evening.
    The days are all alike.
    Nobody came by today.
    """,
)
PARTS = {
    "happy": _HAPPY,
    "angry": _ANGRY,
    "disgust": _DISGUST,
    "fear+surprise": _STARTLE,
    "neutral+sad": _PLAIN,
}
