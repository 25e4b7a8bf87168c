"""What differs between two states of a workspace, and whether it tightens or loosens what is found and done.

=============  ======================================================================
``model``      a change, its effect, and what is compared
``filters``    whether filters select more resources than others, or fewer
``packs``      packs, their policies and their parameters
``plain``      plain Cloud Custodian policies
``library``    profiles, frameworks, customers and waivers
``compare``    all of it together
``versions``   the SemVer bump that a pack's changes ask for
``snapshot``   the state of a workspace, as read from its files
``document``   changes and their impact as JSON
``markdown``   the same for people, in a pull request
=============  ======================================================================

All but ``snapshot`` are pure.
"""
