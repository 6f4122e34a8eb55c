# gnuplot trajectories_booth.gp makes trajectories_booth.svg; with -e "format='png'", trajectories_booth.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'trajectories_booth.'.format
set datafile separator ','
heading = "Trajectories on booth"."\n"."Figure 1: iterations on Booth's and Himmelblau's functions (the same at every scale)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 4
set xrange [-4:6]
set yrange [-5:6]
f(x, y) = (x + 2*y - 7)**2 + (2*x + y - 5)**2
set xlabel 'x'
set ylabel 'y'
set key outside right
set isosamples 150
set contour base
unset surface
set cntrparam levels discrete 1, 5, 15, 40, 100, 200, 400
set table $contours
splot f(x, y)
unset table
of(m) = strcol(2) eq m && strcol(1) eq 'booth' ? column(4) : NaN
word_of(i) = real(word(strcol(1), i))  # the separator of its columns is not ours
plot $contours using (word_of(1)):(word_of(2)) with lines lc rgb '#bbbbbb' title 'contour lines', \
  'trajectories.csv' using (of('sgd')):5 every ::1 with lines lw 2 title 'sgd', \
  'trajectories.csv' using (of('fop_direct')):5 every ::1 with lines lw 2 title 'fop_direct', \
  'trajectories.csv' using (of('adam')):5 every ::1 with lines lw 2 title 'adam', \
  'trajectories.csv' using (of('fop_factor')):5 every ::1 with lines lw 2 title 'fop_factor', \
  'trajectories.csv' using (of('s_hd')):5 every ::1 with lines lw 2 title 's_hd', \
  'trajectories.csv' using (of('pp_hd')):5 every ::1 with lines lw 2 title 'pp_hd', \
  'trajectories.csv' using (of('fop_norm')):5 every ::1 with lines lw 2 title 'fop_norm'
